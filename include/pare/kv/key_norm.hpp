// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KV_KEY_NORM_HPP
#define PARE_KV_KEY_NORM_HPP

#include "concepts.hpp"

#include <cstddef>
#include <span>

namespace pare::kv::inline PARE_ARCH_NAMESPACE {

/// Minus the L2 norm of the key: keys of small norm attract attention. Devoto et al., "A Simple and
/// Effective L2 Norm-Based Strategy", arXiv:2406.11430. Rotation leaves the norm alone.
struct key_norm {
    static constexpr bool needs_vectors = true;

    void score(const head_observation& head, std::span<float> scores) const noexcept {
        for (std::size_t t = 0; t < scores.size(); ++t) {
            float sum = 0.0f;
            for (const float k : head.key(t)) sum += k * k;
            scores[t] = -sum;  // the same order as the norm itself
        }
    }
};

static_assert(vector_scorer<key_norm>);

}  // namespace pare::kv::inline PARE_ARCH_NAMESPACE

#endif  // PARE_KV_KEY_NORM_HPP
