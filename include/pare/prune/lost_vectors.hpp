// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PRUNE_LOST_VECTORS_HPP
#define PARE_PRUNE_LOST_VECTORS_HPP

#include "lanes.hpp"

#include <bit>
#include <cstddef>
#include <cstdint>

namespace pare::prune::inline PARE_ARCH_NAMESPACE::detail {

/// What is lost of the sums a[i] + b[i] >= 0 when the n_kept largest stay. n a multiple of n_lanes.
/// The threshold is found by bisection over the bits, so that no sum is moved.
inline float lost_of(const float* a, const float* b, std::size_t n, std::size_t n_kept) noexcept {
    lanes x, y;
    const auto at = [&](std::size_t i) {
        load(x, a + i), load(y, b + i), max_of(x, x + y, lanes{});
    };
    const auto count = [&](std::int32_t threshold) {  // sums >= threshold
        lane_bits found{};
        for (std::size_t i = 0; i < n; i += n_lanes) {
            at(i);
            found -= reinterpret_cast<lane_bits>(x) >= threshold;
        }
        std::size_t total = 0;
        for (std::size_t i = 0; i < n_lanes; ++i) total += static_cast<std::size_t>(found[i]);
        return total;
    };
    std::int32_t low = 0x7f800000, high = 0;  // soon count(low) >= n_kept > count(high)
    lane_bits least = lane_bits{} + low, most{};
    for (std::size_t i = 0; i < n; i += n_lanes) {
        at(i);
        const lane_bits bits = reinterpret_cast<lane_bits>(x);
        least = bits < least ? bits : least;
        most = bits > most ? bits : most;
    }
    for (std::size_t i = 0; i < n_lanes; ++i) {
        low = least[i] < low ? least[i] : low;
        high = most[i] >= high ? most[i] + 1 : high;
    }
    std::size_t n_above = n;
    while (high - low > 1 && n_above != n_kept) {
        const std::int32_t middle = low + (high - low) / 2;
        const std::size_t found = count(middle);
        if (found >= n_kept) low = middle, n_above = found;
        else high = middle;
    }
    lanes lost{};
    for (std::size_t i = 0; i < n; i += n_lanes) {
        at(i);
        lost += reinterpret_cast<lane_bits>(x) >= low ? lanes{} : x;
    }
    // Where the loop ended at one value, those equal to it are left over.
    const float ties = n_above == n_kept ? 0.0f : static_cast<float>(n_above - n_kept);
    return sum_of(lost) + ties * std::bit_cast<float>(low);
}

}  // namespace pare::prune::inline PARE_ARCH_NAMESPACE::detail

#endif  // PARE_PRUNE_LOST_VECTORS_HPP
