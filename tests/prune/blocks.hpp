// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_TESTS_PRUNE_BLOCKS_HPP
#define PARE_TESTS_PRUNE_BLOCKS_HPP

// Blocks in columns by the book, and columns to find them in.

#include "support/catch.hpp"
#include "support/matrix.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace pare::testing {

using column_scores = std::vector<float>;

/// Columns >= 0 of many kinds, a heavy tail of 60 decades among them.
inline std::vector<column_scores> columns(std::size_t rows, std::uint64_t seed) {
    std::vector<column_scores> all(4, column_scores(rows));
    pare::random random(seed);
    for (std::size_t r = 0; r < rows; ++r) {
        const float u = random.symmetric();
        all[0][r] = std::fabs(u);
        all[1][r] = static_cast<float>(random.below(4));
        all[2][r] = std::pow(10.0f, 30.0f * u);
        all[3][r] = r % 7 == 0 ? 8.0f + u : 0.0f;
    }
    return all;
}

inline double sum_of(const column_scores& scores, const std::vector<std::size_t>& rows,
                     std::size_t begin, std::size_t n) {
    double sum = 0.0;
    for (std::size_t i = begin; i < begin + n; ++i) sum += static_cast<double>(scores[rows[i]]);
    return sum;
}

/// Rows that a selection's column keeps when it places n blocks.
template <class Column>
std::string placed(Column& column, const column_scores& scores, std::size_t n,
                   std::vector<double>& gains) {
    gains.assign(n, -1.0);
    gains.resize(column.place(scores, gains));
    std::string kept;
    for (std::size_t r = 0; r < scores.size(); ++r) kept += column.keeps(r) ? '1' : '0';
    return kept;
}

inline double kept_sum(const column_scores& scores, const std::string& kept) {
    double sum = 0.0;
    for (std::size_t r = 0; r < scores.size(); ++r)
        sum += kept[r] == '1' ? static_cast<double>(scores[r]) : 0.0;
    return sum;
}

/// The most that n disjoint blocks keep of rows from `begin` on, by trying all; negative for none.
inline double best_of_all(const column_scores& scores, std::size_t block_rows, std::size_t n,
                          std::size_t begin = 0) {
    if (n == 0) return 0.0;
    double best = -1.0;
    for (std::size_t r = begin; r + block_rows <= scores.size(); ++r) {
        double sum = 0.0;
        for (std::size_t i = r; i < r + block_rows; ++i) sum += static_cast<double>(scores[i]);
        const double rest = best_of_all(scores, block_rows, n - 1, r + block_rows);
        if (rest >= 0.0 && sum + rest > best) best = sum + rest;
    }
    return best;
}

/// Whether every run of kept rows is a multiple of a block high.
inline bool whole_blocks(const std::string& kept, std::size_t block_rows) {
    std::size_t run = 0;
    for (const char c : kept + '0') {
        if (c == '0' && run % block_rows != 0) return false;
        run = c == '1' ? run + 1 : 0;
    }
    return true;
}

}  // namespace pare::testing

#endif  // PARE_TESTS_PRUNE_BLOCKS_HPP
