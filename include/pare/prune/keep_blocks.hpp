// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PRUNE_KEEP_BLOCKS_HPP
#define PARE_PRUNE_KEEP_BLOCKS_HPP

#include "concepts.hpp"
#include "keep_vectors.hpp"
#include "search_input.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace pare::prune::inline PARE_ARCH_NAMESPACE::detail {

/// Blocks that a matrix of scores keeps, column by column. The gains of a column never rise, so a
/// layer keeps the blocks of the largest gains, whichever column has them; of equal ones those of
/// which their columns have fewer before, then the first column.
template <block_selection Selection>
class block_keeper {
  public:
    static result<block_keeper> make(std::size_t rows, std::size_t cols,
                                     std::size_t block_rows) noexcept {
        auto column = Selection::column::make(rows, block_rows);
        if (!column) return column.error();
        block_keeper made;
        made.column_ = *std::move(column);
        made.most_ = rows / block_rows;
        bool ok = true;
        make_array(made.scores_, rows, ok);
        make_array(made.line_, made.most_, ok);
        make_array(made.gains_, made.most_ * cols, ok);
        make_array(made.tried_, cols, ok);
        make_array(made.kept_, cols, ok);
        if (!ok) return error{errc::out_of_memory, "block_keeper: an allocation failed"};
        return made;
    }

    /// Every column keeps n blocks, or as many as it has.
    void keep_in_columns(matrix_view<const float> scores, std::size_t n, mask_view kept) noexcept {
        for (std::size_t c = 0; c < scores.cols(); ++c) write_column(scores, c, n, kept);
    }

    /// The columns keep n blocks together. expected(c) guesses how many column c will: whatever it
    /// says, the blocks are the same, found sooner where it is right or little too high.
    void keep_in_layer(matrix_view<const float> scores, std::size_t n, mask_view kept,
                       auto&& expected) noexcept {
        const std::size_t cols = scores.cols();
        for (double& gain : gains_.span()) gain = unknown;
        for (std::size_t c = 0; c < cols; ++c) try_column(scores, c, expected(c));
        share_out(cols, n);
        // Where all that was tried is kept more might have been: then all is tried.
        bool again = false;
        for (std::size_t c = 0; c < cols; ++c) {
            if (kept_[c] < tried_[c] || tried_[c] == most_) continue;
            again = true;
            try_column(scores, c, most_);
        }
        if (again) share_out(cols, n);
        for (std::size_t c = 0; c < cols; ++c) write_column(scores, c, kept_[c], kept);
    }

  private:
    static constexpr double unknown = -1.0;

    std::size_t place(matrix_view<const float> scores, std::size_t c, std::size_t n) noexcept {
        for (std::size_t r = 0; r < scores.rows(); ++r) scores_[r] = scores(r, c);
        return column_.place(scores_.span(), line_.span().first(n < most_ ? n : most_));
    }

    void try_column(matrix_view<const float> scores, std::size_t c, std::size_t n) noexcept {
        const std::size_t placed = place(scores, c, n);
        tried_[c] = static_cast<std::uint32_t>(placed < n ? most_ : placed);
        for (std::size_t j = 0; j < placed; ++j) {
            // Rounding may not let a later block go first.
            const bool rises = j > 0 && line_[j] > line_[j - 1];
            if (rises) line_[j] = line_[j - 1];
            gains_[j * scores.cols() + c] = line_[j];
        }
    }

    void share_out(std::size_t cols, std::size_t n) noexcept {
        for (std::uint32_t& kept : kept_.span()) kept = 0;
        const auto read = [&](std::size_t begin, std::span<double> to) {
            for (std::size_t i = 0; i < to.size(); ++i) to[i] = gains_[begin + i];
        };
        for_each_vector(gains_.size(), n, read, [&](std::size_t i, bool keep) {
            kept_[i % cols] += keep && gains_[i] >= 0.0;
        });
    }

    void write_column(matrix_view<const float> scores, std::size_t c, std::size_t n,
                      mask_view kept) noexcept {
        place(scores, c, n);
        for (std::size_t r = 0; r < scores.rows(); ++r) kept.set(r, c, column_.keeps(r));
    }

    typename Selection::column column_;
    std::size_t most_ = 0;         // blocks of a column
    buffer<float> scores_;         // (rows) of a column
    buffer<double> line_;          // (most) its gains
    buffer<double> gains_;         // (most, cols) those of all
    buffer<std::uint32_t> tried_;  // (cols) how many of the gains are known; most: all that exist
    buffer<std::uint32_t> kept_;   // (cols)
};

}  // namespace pare::prune::inline PARE_ARCH_NAMESPACE::detail

#endif  // PARE_PRUNE_KEEP_BLOCKS_HPP
