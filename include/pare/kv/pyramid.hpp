// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KV_PYRAMID_HPP
#define PARE_KV_PYRAMID_HPP

#include "../core/dtype.hpp"
#include "concepts.hpp"

#include <cstddef>

namespace pare::kv::inline PARE_ARCH_NAMESPACE {

/// Fewer tokens in higher layers: falls linearly around the mean `tokens_per_head`, from first to
/// last layer, around `observed` tokens that every layer has. Cai et al., "PyramidKV",
/// arXiv:2406.02069; the last layer's part is mean / beta, as its authors set it.
struct pyramid {
    std::size_t tokens_per_head = 0;
    std::size_t observed = 0;  ///< of snapkv, else 0
    float beta = 20.0f;        ///< 1 at least

    std::size_t tokens(std::size_t layer, std::size_t n_layers) const noexcept {
        if (n_layers < 2 || tokens_per_head <= observed) return tokens_per_head;
        const auto mean = static_cast<float>(tokens_per_head - observed);
        const float least = mean / beta, most = 2.0f * mean - least;
        const float share = static_cast<float>(layer) / static_cast<float>(n_layers - 1);
        return observed + static_cast<std::size_t>(most + share * (least - most) + 0.5f);
    }
    status check() const noexcept {
        if (is_nan(beta) || !(1.0f <= beta))
            return error{errc::invalid_argument, "beta is 1 at least"};
        return {};
    }
};

static_assert(budget<pyramid>);

}  // namespace pare::kv::inline PARE_ARCH_NAMESPACE

#endif  // PARE_KV_PYRAMID_HPP
