// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PRUNE_COLUMN_REGIONS_HPP
#define PARE_PRUNE_COLUMN_REGIONS_HPP

#include "search_input.hpp"
#include "stripes.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace pare::prune::inline PARE_ARCH_NAMESPACE::detail {

struct higher_sum {
    const double* sums;
    bool operator()(std::uint32_t a, std::uint32_t b) const noexcept {
        return sums[a] != sums[b] ? sums[a] > sums[b] : a < b;
    }
};

/// The columns of a tile of rows in three regions: those of the largest sums are dense, the next
/// are N:M in their ascending order, the others are dropped. The memory is made once.
template <int N, int M>
class column_regions {
  public:
    static result<column_regions> make(std::size_t max_rows, std::size_t cols) noexcept {
        column_regions made;
        const std::size_t padded = padded_to_lanes(max_rows == 0 ? 1 : max_rows);
        bool ok = true;
        make_array(made.scores_, cols * padded, ok);
        make_array(made.thresholds_, 2 * padded, ok);
        make_array(made.sums_, cols, ok);
        make_array(made.by_sum_, cols, ok);
        make_array(made.rank_, cols, ok);
        if (!ok) return error{errc::out_of_memory, "column_regions: an allocation failed"};
        return made;
    }

    /// Some rows of the scores, which are >= 0, multiplied by `scale`.
    void read(matrix_view<const float> scores, std::span<const std::uint32_t> rows,
              float scale) noexcept {
        rows_ = padded_to_lanes(rows.size());
        for (std::uint32_t c = 0; c < sums_.size(); ++c) {
            float* const column = scores_.data() + c * rows_;
            sums_[c] = 0.0;
            for (std::size_t i = 0; i < rows_; ++i) {
                column[i] = i < rows.size() ? scale * scores(rows[i], c) : 0.0f;
                sums_[c] += static_cast<double>(column[i]);
            }
            by_sum_[c] = c;
        }
        std::sort(by_sum_.data(), by_sum_.data() + by_sum_.size(), higher_sum{sums_.data()});
        for (std::uint32_t i = 0; i < rank_.size(); ++i) rank_[by_sum_[i]] = i;
    }

    /// Calls visit(column) for those whose sums are the first-th to the end-th largest, ascending.
    void for_each(std::size_t first, std::size_t end, auto&& visit) const noexcept {
        for (std::uint32_t c = 0; c < rank_.size(); ++c)
            if (first <= rank_[c] && rank_[c] < end) visit(c);
    }

    /// The sum of the scores that are kept when `dense` columns are dense and those up to `kept`,
    /// in whole groups, N:M.
    double retained(std::size_t dense, std::size_t kept) noexcept {
        double sum = 0.0;
        for (std::size_t i = 0; i < dense; ++i) sum += sums_[by_sum_[i]];
        stripe_columns<M> stripe{};
        std::size_t n = 0;
        for_each(dense, kept, [&](std::uint32_t c) {
            stripe[n++] = scores_.data() + c * rows_;
            if (n < M) return;
            sum += static_cast<double>(
                rank_stripe<N, M>(stripe, rows_, thresholds_.data(), thresholds_.data() + rows_));
            n = 0;
        });
        return sum;
    }

  private:
    std::size_t rows_ = 0;          // in whole vectors
    buffer<float> scores_;          // (cols, rows) column by column
    buffer<float> thresholds_;      // (2, rows) of a stripe
    buffer<double> sums_;           // (cols)
    buffer<std::uint32_t> by_sum_;  // (cols) columns, the largest sum first
    buffer<std::uint32_t> rank_;    // (cols) place in by_sum_
};

}  // namespace pare::prune::inline PARE_ARCH_NAMESPACE::detail

#endif  // PARE_PRUNE_COLUMN_REGIONS_HPP
