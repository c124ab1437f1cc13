// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PRUNE_GREEDY_HPP
#define PARE_PRUNE_GREEDY_HPP

#include "block_windows.hpp"
#include "concepts.hpp"

#include <cstddef>
#include <span>
#include <utility>

namespace pare::prune::inline PARE_ARCH_NAMESPACE {

/// Takes the best block that overlaps none taken before, as long as there is one: what `bed` is
/// measured against. Gaps that are lower than a block stay empty, so that of |N(0, 1)| in 256 rows
/// and blocks of 8 only three quarters find a place.
struct greedy {
    class column;
};

class greedy::column {
  public:
    static result<column> make(std::size_t rows, std::size_t block_rows) noexcept {
        auto windows = detail::block_windows::make(rows, block_rows);
        if (!windows) return windows.error();
        column made;
        made.windows_ = *std::move(windows);
        return made;
    }

    /// As bed's, but there is room for fewer.
    std::size_t place(std::span<const float> scores, std::span<double> gains) noexcept {
        windows_.reset(scores);
        const std::size_t height = windows_.block_rows();
        std::size_t n = 0;
        for (; n < gains.size() && windows_.best_sum() >= 0.0; ++n) {
            gains[n] = windows_.best_sum();
            const std::size_t first = windows_.best_row(), end = first + height;
            for (std::size_t row = first; row < end; ++row) windows_.keep(row);
            for (std::size_t row = first < height ? 0 : first - height + 1; row < end; ++row)
                windows_.set_sum(row, detail::block_windows::none);
        }
        return n;
    }
    bool keeps(std::size_t row) const noexcept { return windows_.keeps(row); }

  private:
    detail::block_windows windows_;
};

static_assert(block_selection<greedy>);

}  // namespace pare::prune::inline PARE_ARCH_NAMESPACE

#endif  // PARE_PRUNE_GREEDY_HPP
