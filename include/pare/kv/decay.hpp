// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KV_DECAY_HPP
#define PARE_KV_DECAY_HPP

#include "../core/config.hpp"

#include <cstddef>

namespace pare::kv::inline PARE_ARCH_NAMESPACE {

/// factor^steps by repeated squaring; decay(0, 0) is 1.
inline float decay(float factor, std::size_t steps) noexcept {
    float result = 1.0f;
    for (; steps != 0; steps >>= 1, factor *= factor)
        if ((steps & 1) != 0) result *= factor;
    return result;
}

}  // namespace pare::kv::inline PARE_ARCH_NAMESPACE

#endif  // PARE_KV_DECAY_HPP
