// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PRUNE_BLOCK_HPP
#define PARE_PRUNE_BLOCK_HPP

#include "../core/dtype.hpp"
#include "concepts.hpp"
#include "keep_vectors.hpp"

#include <cstddef>
#include <span>

namespace pare::prune::inline PARE_ARCH_NAMESPACE {

/// Keeps blocks of R outputs x C inputs at multiples of both, those of the best mean score. With C
/// = 1 this is the 1xN pattern of Lin et al., arXiv:2105.14713. What is left at the lower and right
/// edges is divided into smaller blocks, which compete by their means too. Of equal blocks the
/// first in row-major order stays; blocks are taken until the weights they keep are as near as that
/// order allows to those wanted, one block at least.
template <int R, int C = 1>
struct block {
    static_assert(1 <= R && R <= 32 && 1 <= C && C <= 32,
                  "block<R, C> is of 1 to 32 rows and 1 to 32 columns");
    static constexpr int block_rows = R;
    static constexpr int block_cols = C;

    float sparsity = 0.5f;  ///< share of the weights that are dropped, in [0, 1)

    status check() const noexcept {
        if (!is_nan(sparsity) && sparsity >= 0.0f && sparsity < 1.0f) return {};
        return error{errc::invalid_argument, "block: sparsity must be in [0, 1)"};
    }

    void select(matrix_view<const float> scores, mask_view kept) const noexcept;
};

namespace detail {

/// The rows and columns of the blocks of a matrix, numbered in row-major order.
template <int R, int C>
struct block_grid {
    std::size_t rows, cols;

    std::size_t across() const noexcept { return (cols + C - 1) / C; }
    std::size_t size() const noexcept { return (rows + R - 1) / R * across(); }
    /// Calls visit(row, column) for the weights of a block.
    void for_each(std::size_t i, auto&& visit) const noexcept {
        const std::size_t top = i / across() * R, left = i % across() * C;
        for (std::size_t r = top; r < top + R && r < rows; ++r)
            for (std::size_t c = left; c < left + C && c < cols; ++c) visit(r, c);
    }
    std::size_t n_weights(std::size_t i) const noexcept {
        const std::size_t down = rows - i / across() * R, right = cols - i % across() * C;
        return (down < R ? down : R) * (right < C ? right : C);
    }
};

}  // namespace detail

template <int R, int C>
void block<R, C>::select(matrix_view<const float> scores, mask_view kept) const noexcept {
    if (scores.empty()) return;
    const detail::block_grid<R, C> blocks{scores.rows(), scores.cols()};
    const double wanted =
        (1.0 - static_cast<double>(sparsity)) * static_cast<double>(scores.size());
    const auto means = [&](std::size_t begin, std::span<double> to) {
        for (std::size_t i = 0; i < to.size(); ++i) {
            double sum = 0.0;
            blocks.for_each(begin + i, [&](std::size_t r, std::size_t c) {
                sum += static_cast<double>(scores(r, c));
            });
            to[i] = sum / static_cast<double>(blocks.n_weights(begin + i));
        }
    };
    const auto size_of = [&](std::size_t i) { return blocks.n_weights(i); };
    // A block fits as long as half of it does; the best one always.
    const auto twice = static_cast<std::size_t>(wanted < R * C / 2.0 ? R * C : 2.0 * wanted);
    detail::for_each_within(blocks.size(), twice, means, size_of, [&](std::size_t i, bool keep) {
        blocks.for_each(i, [&](std::size_t r, std::size_t c) { kept.set(r, c, keep); });
    });
}

static_assert(pattern<block<8>>);
static_assert(block_pattern<block<8, 2>>);
static_assert(!n_of_m_pattern<block<8>>);

}  // namespace pare::prune::inline PARE_ARCH_NAMESPACE

#endif  // PARE_PRUNE_BLOCK_HPP
