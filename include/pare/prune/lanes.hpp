// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PRUNE_LANES_HPP
#define PARE_PRUNE_LANES_HPP

#include "../core/config.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

/// What the searches over permutations compute with: vectors of 16 scores, which the compiler
/// splits into as many registers as the machine has. Passed by reference, for by value their
/// calling convention depends on the flags.
namespace pare::prune::inline PARE_ARCH_NAMESPACE::detail {

inline constexpr std::size_t n_lanes = 16;
using lanes [[gnu::vector_size(n_lanes * sizeof(float))]] = float;
using lane_bits [[gnu::vector_size(n_lanes * sizeof(float))]] = std::int32_t;

constexpr std::size_t padded_to_lanes(std::size_t n) noexcept {
    return (n + n_lanes - 1) / n_lanes * n_lanes;
}

PARE_ALWAYS_INLINE inline void load(lanes& to, const float* from) noexcept {
    std::memcpy(&to, from, sizeof(to));
}
PARE_ALWAYS_INLINE inline void store(float* to, const lanes& from) noexcept {
    std::memcpy(to, &from, sizeof(from));
}

// Floats whose sign bit is clear order as their bits do, and so do a float of either sign and zero.
// Comparing integers is one instruction; a comparison of floats that respects NaN takes two.
PARE_ALWAYS_INLINE inline void max_of(lanes& to, const lanes& a, const lanes& b) noexcept {
    const lane_bits x = reinterpret_cast<lane_bits>(a), y = reinterpret_cast<lane_bits>(b);
    to = reinterpret_cast<lanes>(x > y ? x : y);
}
PARE_ALWAYS_INLINE inline void min_of(lanes& to, const lanes& a, const lanes& b) noexcept {
    const lane_bits x = reinterpret_cast<lane_bits>(a), y = reinterpret_cast<lane_bits>(b);
    to = reinterpret_cast<lanes>(x < y ? x : y);
}

PARE_ALWAYS_INLINE inline void fold(lanes& a, const lanes& b) noexcept {
    const lanes low =
        __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    const lanes high =
        __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    a = low + high;
}

/// to[i] = the sum of the lanes of x[i]. Overwrites x. Each fold halves the sums and interleaves
/// two vectors; after four of them lane i belongs to vector i.
PARE_ALWAYS_INLINE inline void sums_of(lanes& to, std::array<lanes, n_lanes>& x) noexcept {
    for (std::size_t half = n_lanes / 2; half > 0; half /= 2)
        for (std::size_t i = 0; i < half; ++i) fold(x[i], x[i + half]);
    to = x[0];
}

PARE_ALWAYS_INLINE inline float sum_of(const lanes& x) noexcept {
    lanes a = x, b = x;
    fold(a, b);  // each sum is there twice from here on: 8, 4, 2, 1 lanes
    b = a, fold(a, b);
    b = a, fold(a, b);
    b = a, fold(a, b);
    return a[0];
}

}  // namespace pare::prune::inline PARE_ARCH_NAMESPACE::detail

#endif  // PARE_PRUNE_LANES_HPP
