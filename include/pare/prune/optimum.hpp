// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PRUNE_OPTIMUM_HPP
#define PARE_PRUNE_OPTIMUM_HPP

#include "concepts.hpp"
#include "search_input.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace pare::prune::inline PARE_ARCH_NAMESPACE {

/// The best disjoint blocks there are, by a dynamic program over rows and blocks: best(i, j) =
/// max(best(i - 1, j), best(i - B, j - 1) + the score of rows i - B to i - 1). rows^2 / B steps and
/// bytes a column, the steps side by side in vectors: what bed is measured against.
///
/// Exact for a whole layer too, but for the rounding of sums: best(rows, j) is concave in j, so
/// the best blocks of a layer are those of the largest gains of its columns, and no bound is
/// needed. For join the best j - 1 and the best j + 1 blocks where they overlap: as all are equally
/// high, each meets at most two of the others, so what hangs together is a chain of both in turn.
/// One chain has one more of the second; exchanged there, both become j blocks of the same total.
struct optimum {
    class column;
};

class optimum::column {
  public:
    static result<column> make(std::size_t rows, std::size_t block_rows) noexcept {
        column made;
        made.block_rows_ = block_rows;
        made.most_ = rows / block_rows;
        bool ok = true;
        detail::make_array(made.best_, (block_rows + 1) * (made.most_ + 1), ok);
        detail::make_array(made.taken_, (rows + 1) * (made.most_ + 1), ok);
        detail::make_array(made.kept_, rows, ok);
        if (!ok) return error{errc::out_of_memory, "optimum: an allocation failed"};
        return made;
    }

    /// Places the best gains.size() blocks, or as many as there is room for. gains[j] receives what
    /// j + 1 blocks keep more than j. @return how many
    std::size_t place(std::span<const float> scores, std::span<double> gains) noexcept;

    bool keeps(std::size_t row) const noexcept { return kept_[row] != 0; }

  private:
    static constexpr double impossible = -1e300;

    void trace(std::size_t rows, std::size_t n) noexcept;

    std::size_t block_rows_ = 1;
    std::size_t most_ = 0;
    buffer<double> best_;  // (block rows + 1, most + 1) rows i modulo block rows + 1
    buffer<std::uint8_t>
        taken_;  // (rows + 1, most + 1) whether best(i, j) has a block that ends at i
    buffer<std::uint8_t> kept_;  // (rows)
};

inline std::size_t optimum::column::place(std::span<const float> scores,
                                          std::span<double> gains) noexcept {
    const std::size_t n = gains.size() < most_ ? gains.size() : most_, ring = block_rows_ + 1;
    const auto best = [&](std::size_t i) { return best_.data() + i % ring * (most_ + 1); };
    for (std::size_t i = 0; i < ring; ++i) {
        for (std::size_t j = 1; j <= n; ++j) best(i)[j] = impossible;
        best(i)[0] = 0.0;
    }
    for (std::size_t i = block_rows_; i <= scores.size(); ++i) {
        double sum = 0.0;
        for (const float score : scores.subspan(i - block_rows_, block_rows_))
            sum += static_cast<double>(score);
        const double* const without = best(i - 1);
        const double* const before = best(i - block_rows_);
        double* const now = best(i);
        std::uint8_t* const taken = taken_.data() + i * (most_ + 1);
        const std::size_t last = i / block_rows_ < n ? i / block_rows_ : n;
        for (std::size_t j = 1; j <= last; ++j) {
            const double with = before[j - 1] + sum;
            taken[j] = with > without[j];
            now[j] = with > without[j] ? with : without[j];
        }
    }
    for (std::size_t j = 0; j < n; ++j) {
        const double gain = best(scores.size())[j + 1] - best(scores.size())[j];
        gains[j] = gain < 0.0 ? 0.0 : gain;  // rounding; one more block never costs
    }
    trace(scores.size(), n);
    return n;
}

inline void optimum::column::trace(std::size_t rows, std::size_t n) noexcept {
    for (std::uint8_t& kept : kept_.span()) kept = 0;
    for (std::size_t i = rows; n > 0;) {
        if (taken_[i * (most_ + 1) + n] == 0) {
            --i;
            continue;
        }
        for (std::size_t row = i - block_rows_; row < i; ++row) kept_[row] = 1;
        i -= block_rows_;
        --n;
    }
}

static_assert(block_selection<optimum>);

}  // namespace pare::prune::inline PARE_ARCH_NAMESPACE

#endif  // PARE_PRUNE_OPTIMUM_HPP
