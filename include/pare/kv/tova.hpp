// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KV_TOVA_HPP
#define PARE_KV_TOVA_HPP

#include "concepts.hpp"

#include <cstddef>
#include <span>

namespace pare::kv::inline PARE_ARCH_NAMESPACE {

/// The attention of the newest query, averaged over the heads of a layer, which therefore keep the
/// same tokens. Oren et al., "TOVA", arXiv:2401.06104. Per head it is a2sf{.forgetting = 0}.
struct tova {
    static constexpr bool layer_wide = true;

    float carry(std::size_t) const noexcept { return 0.0f; }
    float weight(std::size_t i, std::size_t n) const noexcept { return i + 1 == n ? 1.0f : 0.0f; }
    void score(const head_observation& head, std::span<float> scores) const noexcept {
        for (std::size_t t = 0; t < scores.size(); ++t) scores[t] = head.attention[t];
    }
};

static_assert(attention_scorer<tova> && layer_wide_scorer<tova>);

}  // namespace pare::kv::inline PARE_ARCH_NAMESPACE

#endif  // PARE_KV_TOVA_HPP
