// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PRUNE_BLOCK_WINDOWS_HPP
#define PARE_PRUNE_BLOCK_WINDOWS_HPP

#include "search_input.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace pare::prune::inline PARE_ARCH_NAMESPACE::detail {

/// The blocks that a column of scores >= 0 could still keep, by the row where they begin, and the
/// rows it keeps already. A tournament holds the sums: the best is found, and one is changed, in
/// log2(rows) steps; of equal sums the first wins. The memory is made once.
class block_windows {
  public:
    static constexpr double none = -1.0;  // less than any sum

    static result<block_windows> make(std::size_t rows, std::size_t block_rows) noexcept {
        block_windows made;
        made.block_rows_ = block_rows;
        while (made.leaves_ < rows) made.leaves_ *= 2;
        bool ok = true;
        make_array(made.sums_, 2 * made.leaves_, ok);
        make_array(made.kept_, rows, ok);
        if (!ok) return error{errc::out_of_memory, "block_windows: an allocation failed"};
        return made;
    }

    /// Nothing is kept, and every block of the column possible.
    void reset(std::span<const float> scores) noexcept {
        for (std::uint8_t& kept : kept_.span()) kept = 0;
        for (double& sum : sums_.span()) sum = none;
        for (std::size_t row = 0; row + block_rows_ <= scores.size(); ++row) {
            double& sum = sums_[leaves_ + row] = 0.0;
            for (const float score : scores.subspan(row, block_rows_))
                sum += static_cast<double>(score);
        }
        for (std::size_t i = leaves_; i-- > 1;) sums_[i] = larger(sums_[2 * i], sums_[2 * i + 1]);
    }

    std::size_t block_rows() const noexcept { return block_rows_; }
    /// The sum of the block that would begin there, or `none`.
    double sum(std::size_t row) const noexcept { return sums_[leaves_ + row]; }
    double best_sum() const noexcept { return sums_[1]; }
    /// The first row of the best block. @pre there is one
    std::size_t best_row() const noexcept {
        std::size_t i = 1;
        while (i < leaves_) i = 2 * i + (sums_[2 * i] != sums_[i]);
        return i - leaves_;
    }
    void set_sum(std::size_t row, double sum) noexcept {
        std::size_t i = leaves_ + row;
        sums_[i] = sum;
        for (; i > 1; i /= 2) {
            const double winner = larger(sums_[i], sums_[i ^ 1]);
            if (sums_[i / 2] == winner) return;
            sums_[i / 2] = winner;
        }
    }

    bool keeps(std::size_t row) const noexcept { return kept_[row] != 0; }
    void keep(std::size_t row) noexcept { kept_[row] = 1; }

  private:
    static double larger(double a, double b) noexcept { return a < b ? b : a; }

    std::size_t block_rows_ = 1;
    std::size_t leaves_ = 1;     // rows, to a power of two
    buffer<double> sums_;        // (2 leaves) node i is the larger of nodes 2i and 2i + 1
    buffer<std::uint8_t> kept_;  // (rows)
};

}  // namespace pare::prune::inline PARE_ARCH_NAMESPACE::detail

#endif  // PARE_PRUNE_BLOCK_WINDOWS_HPP
