// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PRUNE_UNALIGNED_BLOCK_HPP
#define PARE_PRUNE_UNALIGNED_BLOCK_HPP

#include "../core/dtype.hpp"
#include "bed.hpp"
#include "concepts.hpp"
#include "keep_blocks.hpp"

#include <cstddef>
#include <cstdint>

namespace pare::prune::inline PARE_ARCH_NAMESPACE {

/// Over which weights a number of blocks is counted.
enum class block_budget : std::uint8_t {
    layer,   ///< columns may keep any number
    column,  ///< all columns keep the same
};

/// Keeps blocks of B consecutive outputs of one input, which begin at any row: disjoint, so that
/// every run of kept rows of a column is a multiple of B. Unaligned block pruning of Lee and Shin,
/// arXiv:2407.19644; the score of a block is the sum of its B scores, which must be >= 0. How
/// blocks are found is the Selection's: `bed`, as published, `greedy` or `optimum`. Of equal blocks
/// of a column the upper stays; of columns whose next blocks are equal that which has fewer, then
/// the first.
template <int B, class Selection = bed>
struct unaligned_block {
    static_assert(2 <= B && B <= 32, "unaligned_block<B> has blocks of 2 to 32 rows");
    static_assert(block_selection<Selection>,
                  "unaligned_block<B, Selection>: the selection needs a class column with "
                  "make(rows, block_rows), place(scores, gains) and keeps(row)");
    static constexpr int block_rows = B;

    float sparsity = 0.5f;  ///< share of the weights that are dropped, in [0, 1)
    block_budget budget = block_budget::layer;

    status check() const noexcept {
        if (!is_nan(sparsity) && sparsity >= 0.0f && sparsity < 1.0f) return {};
        return error{errc::invalid_argument, "unaligned_block: sparsity must be in [0, 1)"};
    }

    /// Blocks that rows x cols weights keep: to the nearest, at least one, at most rows / B a
    /// column. A selection may find less (`greedy`).
    std::size_t kept_blocks(std::size_t rows, std::size_t cols) const noexcept {
        const double share = 1.0 - static_cast<double>(sparsity);
        const double size = static_cast<double>(rows) * static_cast<double>(cols);
        const auto n = static_cast<std::size_t>(share * size / B + 0.5);
        const std::size_t most = rows / B * cols;
        return n > most ? most : n + (n == 0 && most > 0);
    }

    /// @return shape_mismatch for fewer rows than B, the mask untouched; out_of_memory. Allocates.
    status select(matrix_view<const float> scores, mask_view kept) const noexcept {
        return select(scores, const_mask_view{}, kept);
    }

    /// The same blocks, found sooner if the columns keep about as many as in `previous`: a mask of
    /// this shape from scores that have changed little since, or none. It may be `kept` itself.
    status select(matrix_view<const float> scores, const_mask_view previous,
                  mask_view kept) const noexcept;
};

template <int B, class Selection>
status unaligned_block<B, Selection>::select(matrix_view<const float> scores,
                                             const_mask_view previous,
                                             mask_view kept) const noexcept {
    const std::size_t rows = scores.rows(), cols = scores.cols();
    if (scores.empty()) return {};
    if (rows < B)
        return error{errc::shape_mismatch, "unaligned_block: fewer rows than a block has", rows};
    const bool again = previous.rows() > 0;
    if (again && (previous.rows() != rows || previous.cols() != cols))
        return error{errc::shape_mismatch, "unaligned_block: the previous mask has another shape"};
    auto keeper = detail::block_keeper<Selection>::make(rows, cols, B);
    if (!keeper) return keeper.error();
    if (budget == block_budget::column) {
        keeper->keep_in_columns(scores, kept_blocks(rows, 1), kept);
        return {};
    }
    keeper->keep_in_layer(scores, kept_blocks(rows, cols), kept, [&](std::size_t c) {
        std::size_t n = again ? 0 : rows;
        for (std::size_t r = 0; again && r < rows; ++r) n += previous(r, c);
        return n / B + n / (16 * B) + 2;
    });
    return {};
}

static_assert(pattern<unaligned_block<8>>);
static_assert(block_pattern<unaligned_block<8>>);
static_assert(!n_of_m_pattern<unaligned_block<8>>);

}  // namespace pare::prune::inline PARE_ARCH_NAMESPACE

#endif  // PARE_PRUNE_UNALIGNED_BLOCK_HPP
