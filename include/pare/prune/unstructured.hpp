// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PRUNE_UNSTRUCTURED_HPP
#define PARE_PRUNE_UNSTRUCTURED_HPP

#include "../core/dtype.hpp"
#include "concepts.hpp"

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace pare::prune::inline PARE_ARCH_NAMESPACE {

/// Keeps the best weights of the whole matrix wherever they are: the upper bound for every pattern
/// at the same sparsity. Pruned are sparsity * size weights, to the nearest, at least one staying.
struct unstructured {
    float sparsity = 0.5f;  ///< fraction of zeros, in [0, 1)

    status check() const noexcept {
        if (!is_nan(sparsity) && sparsity >= 0.0f && sparsity < 1.0f) return {};
        return error{errc::invalid_argument, "unstructured: sparsity must be in [0, 1)"};
    }

    void select(matrix_view<const float> scores, mask_view kept) const noexcept;
};

namespace detail {

// Orders as the floats do, with -0 made equal to +0.
inline std::uint32_t ordered_bits(float x) noexcept {
    const std::uint32_t bits = std::bit_cast<std::uint32_t>(x);
    if (bits == 0x80000000u) return 0x80000000u;
    return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
}

}  // namespace detail

// Radix selection: four passes fix the threshold byte by byte, so nothing is sorted or allocated.
inline void unstructured::select(matrix_view<const float> scores, mask_view kept) const noexcept {
    const std::size_t size = scores.size();
    const double pruned = static_cast<double>(sparsity) * static_cast<double>(size);
    std::size_t wanted = size - static_cast<std::size_t>(pruned + 0.5);
    wanted += wanted == 0 && size > 0;
    std::uint32_t threshold = 0;
    for (int shift = 24; shift >= 0; shift -= 8) {
        std::array<std::size_t, 256> histogram{};
        for (std::size_t r = 0; r < scores.rows(); ++r)
            for (std::size_t c = 0; c < scores.cols(); ++c) {
                const std::uint32_t key = detail::ordered_bits(scores(r, c));
                const bool same_prefix = shift == 24 || (key ^ threshold) >> (shift + 8) == 0;
                histogram[(key >> shift) & 0xffu] += same_prefix;
            }
        std::uint32_t digit = 255;
        for (; digit > 0 && histogram[digit] < wanted; --digit) wanted -= histogram[digit];
        threshold |= digit << shift;
    }
    // Above the threshold all stay; of those equal to it, the first `wanted`.
    for (std::size_t r = 0; r < scores.rows(); ++r)
        for (std::size_t c = 0; c < scores.cols(); ++c) {
            const std::uint32_t key = detail::ordered_bits(scores(r, c));
            const bool tie = key == threshold && wanted > 0;
            wanted -= tie;
            kept.set(r, c, key > threshold || tie);
        }
}

static_assert(pattern<unstructured>);

}  // namespace pare::prune::inline PARE_ARCH_NAMESPACE

#endif  // PARE_PRUNE_UNSTRUCTURED_HPP
