// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PRUNE_EXPONENTIAL_HPP
#define PARE_PRUNE_EXPONENTIAL_HPP

#include "../core/random.hpp"

#include <bit>
#include <cstdint>

namespace pare::prune::inline PARE_ARCH_NAMESPACE::detail {

/// About -log2 of a uniform number (0.09 too small at most): by how many temperatures simulated
/// annealing lets a step go down. The same on every machine, which std::log is not.
inline float exponential(random& draw) noexcept {
    const float uniform = static_cast<float>((draw.next() >> 40) + 1) * 0x1p-24f;
    return 127.0f - static_cast<float>(std::bit_cast<std::uint32_t>(uniform)) * 0x1p-23f;
}

}  // namespace pare::prune::inline PARE_ARCH_NAMESPACE::detail

#endif  // PARE_PRUNE_EXPONENTIAL_HPP
