// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PRUNE_KEEP_VECTORS_HPP
#define PARE_PRUNE_KEEP_VECTORS_HPP

#include "../core/tensor_view.hpp"

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

namespace pare::prune::inline PARE_ARCH_NAMESPACE::detail {

/// The sums of a tile's column vectors: some rows of a matrix of scores.
struct row_sums {
    matrix_view<const float> scores;
    std::span<const std::uint32_t> rows;

    /// sums[i] = that of column begin + i.
    void operator()(std::size_t begin, std::span<double> sums) const noexcept {
        for (double& sum : sums) sum = 0.0;
        for (const std::uint32_t r : rows)
            for (std::size_t i = 0; i < sums.size(); ++i)
                sums[i] += static_cast<double>(scores(r, begin + i));
    }
};

// Orders as the doubles do, with -0 made equal to +0.
inline std::uint64_t ordered_bits(double x) noexcept {
    const auto bits = std::bit_cast<std::uint64_t>(x);
    constexpr std::uint64_t sign = std::uint64_t{1} << 63;
    if (bits == sign) return sign;
    return (bits & sign) != 0 ? ~bits : bits | sign;
}

/// Calls visit(i, whether it is kept) for n items, ascending. Kept are those of the largest sums,
/// of equal ones the first, until their sizes (>= 1) add up to a budget as nearly as they can.
/// Radix selection: eight passes fix the threshold byte by byte, so nothing is sorted or allocated.
/// @param twice  the budget, which may be a half
template <class Sums, class Size, class Visit>
void for_each_within(std::size_t n, std::size_t twice, const Sums& sums_of, const Size& size_of,
                     Visit&& visit) noexcept {
    const auto for_each_key = [&](auto&& use) {
        std::array<double, 64> sums;
        for (std::size_t begin = 0; begin < n; begin += sums.size()) {
            const std::size_t length = n - begin < sums.size() ? n - begin : sums.size();
            sums_of(begin, std::span<double>(sums.data(), length));
            for (std::size_t i = 0; i < length; ++i) use(begin + i, ordered_bits(sums[i]));
        }
    };
    std::uint64_t threshold = 0;
    std::size_t left = twice;
    for (int shift = 56; shift >= 0; shift -= 8) {
        std::array<std::size_t, 256> histogram{};
        for_each_key([&](std::size_t i, std::uint64_t key) {
            const bool same_prefix = shift == 56 || (key ^ threshold) >> (shift + 8) == 0;
            histogram[(key >> shift) & 0xffu] += same_prefix ? size_of(i) : 0;
        });
        std::uint64_t digit = 255;
        for (; digit > 0 && 2 * histogram[digit] <= left; --digit) left -= 2 * histogram[digit];
        threshold |= digit << shift;
    }
    for_each_key([&](std::size_t i, std::uint64_t key) {
        const bool tie = key == threshold && size_of(i) <= left;
        if (tie) left = left < 2 * size_of(i) ? 0 : left - 2 * size_of(i);
        visit(i, key > threshold || tie);
    });
}

/// Calls visit(column, whether it is among the n_kept of the largest sum) for all columns,
/// ascending; of equal sums the first are kept.
template <class Sums, class Visit>
void for_each_vector(std::size_t cols, std::size_t n_kept, const Sums& sums_of,
                     Visit&& visit) noexcept {
    const auto one = [](std::size_t) { return std::size_t{1}; };
    if (n_kept < cols) return for_each_within(cols, 2 * n_kept, sums_of, one, visit);
    for (std::size_t c = 0; c < cols; ++c) visit(c, true);
}

}  // namespace pare::prune::inline PARE_ARCH_NAMESPACE::detail

#endif  // PARE_PRUNE_KEEP_VECTORS_HPP
