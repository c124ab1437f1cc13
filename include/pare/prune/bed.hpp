// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PRUNE_BED_HPP
#define PARE_PRUNE_BED_HPP

#include "block_windows.hpp"
#include "concepts.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace pare::prune::inline PARE_ARCH_NAMESPACE {

/// Block expansion and division: takes the best block, cuts its rows out and glues the ends, so
/// that a later block may reach over it; what is taken is then divided into blocks again, for every
/// run of kept rows is a multiple of their height. Lee and Shin, arXiv:2407.19644, after the
/// first author's fork of llama.cpp. Any number of blocks up to rows / block rows has a place;
/// O(log rows) for each of the block's rows. Not the optimum: a block taken stays.
///
/// The published update of sums, S[k-n] += S[k-n+B] - S[k], loses small sums beside large ones;
/// here those rows are added up anew, at the same cost.
struct bed {
    class column;
};

class bed::column {
  public:
    /// @param block_rows  at most 32
    static result<column> make(std::size_t rows, std::size_t block_rows) noexcept {
        PARE_ASSERT(block_rows <= 32, "bed: blocks of more than 32 rows");
        auto windows = detail::block_windows::make(rows, block_rows);
        if (!windows) return windows.error();
        column made;
        made.windows_ = *std::move(windows);
        bool ok = true;
        detail::make_array(made.before_, rows + 1, ok);
        detail::make_array(made.after_, rows + 1, ok);
        if (!ok) return error{errc::out_of_memory, "bed: an allocation failed"};
        return made;
    }

    /// Takes gains.size() blocks of a column, or as many as there is room for. gains[j] receives
    /// the score of the j-th, which never rises. @return how many
    std::size_t place(std::span<const float> scores, std::span<double> gains) noexcept {
        windows_.reset(scores);
        const std::size_t rows = scores.size();
        for (std::size_t row = 0; row <= rows; ++row) {
            after_[row] = static_cast<std::uint32_t>(row == rows ? 0 : row + 1);
            before_[row] = static_cast<std::uint32_t>(row == 0 ? rows : row - 1);
        }
        std::size_t n = 0;
        for (; n < gains.size() && windows_.best_sum() >= 0.0; ++n) {
            gains[n] = windows_.best_sum();
            cut(scores, static_cast<std::uint32_t>(windows_.best_row()));
        }
        return n;
    }
    /// Whether the row is in a block of the last place().
    bool keeps(std::size_t row) const noexcept { return windows_.keeps(row); }
    /// The score of the block that would begin in a row, negative where none can.
    double window(std::size_t row) const noexcept { return windows_.sum(row); }

  private:
    void cut(std::span<const float> scores, std::uint32_t first) noexcept;

    detail::block_windows windows_;
    // (rows + 1) The rows that are left, as a ring; its last member stands between end and begin.
    buffer<std::uint32_t> before_, after_;
};

inline void bed::column::cut(std::span<const float> scores, std::uint32_t first) noexcept {
    const std::size_t block_rows = windows_.block_rows(), end = scores.size();
    std::uint32_t left = before_[first], right = first;
    for (std::size_t i = 0; i < block_rows; ++i, right = after_[right]) {
        windows_.keep(right);
        windows_.set_sum(right, detail::block_windows::none);
    }
    after_[left] = right;
    before_[right] = left;
    // A block that reaches over the cut is n rows above it and block_rows - n below.
    std::array<double, 32> below{};
    std::size_t n_below = 0;
    for (; n_below + 1 < block_rows && right != end; ++n_below, right = after_[right])
        below[n_below + 1] = below[n_below] + static_cast<double>(scores[right]);
    double above = 0.0;
    for (std::size_t n = 1; n < block_rows && left != end; ++n, left = before_[left]) {
        above += static_cast<double>(scores[left]);
        const bool fits = block_rows - n <= n_below;
        windows_.set_sum(left, fits ? above + below[block_rows - n] : detail::block_windows::none);
    }
}

static_assert(block_selection<bed>);

}  // namespace pare::prune::inline PARE_ARCH_NAMESPACE

#endif  // PARE_PRUNE_BED_HPP
