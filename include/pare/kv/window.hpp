// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KV_WINDOW_HPP
#define PARE_KV_WINDOW_HPP

#include "concepts.hpp"

#include <cstddef>
#include <span>

namespace pare::kv::inline PARE_ARCH_NAMESPACE {

/// The newest tokens; with policy::sinks = 4 StreamingLLM (Xiao et al., arXiv:2309.17453), whose
/// positions within the cache are what renumber() gives.
struct window {
    static constexpr bool pointwise = true;

    void score(const head_observation& head, std::span<float> scores) const noexcept {
        // Age, not position: exact in a float for the first 16 million tokens of a window.
        for (std::size_t t = 0; t < scores.size(); ++t)
            scores[t] = -static_cast<float>(head.now - head.positions[t]);
    }
};

static_assert(token_scorer<window>);

}  // namespace pare::kv::inline PARE_ARCH_NAMESPACE

#endif  // PARE_KV_WINDOW_HPP
