// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_TESTS_CONTRACT_LAWS_HPP
#define PARE_TESTS_CONTRACT_LAWS_HPP

// The laws of saliencies and patterns as functions that say whether a policy keeps them, so that a
// wrong policy can be shown to break them.

#include <pare/prune/prune.hpp>

#include "support/matrix.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace pare::testing {

/// Signals rather than noise alone: (name, scores >= 0) of many shapes.
struct signal {
    std::string name;
    matrix scores;
};

using shapes = std::vector<std::array<std::size_t, 2>>;

inline std::vector<signal> signals(
    const shapes& of = {{1, 1}, {1, 3}, {3, 8}, {4, 31}, {2, 32}, {2, 33}, {5, 64}, {3, 100}}) {
    std::vector<signal> all;
    for (const auto& [rows, cols] : of) {
        pare::random random(rows * cols);
        const auto add = [&, n_rows = rows, n_cols = cols](const char* name, auto value) {
            all.push_back({name + (' ' + std::to_string(n_rows)) + 'x' + std::to_string(n_cols),
                           matrix(n_rows, n_cols)});
            matrix& scores = all.back().scores;
            for (std::size_t r = 0; r < n_rows; ++r)
                for (std::size_t c = 0; c < n_cols; ++c)
                    scores(r, c) = static_cast<float>(value(r, c));
        };
        add("zero", [](auto, auto) { return 0; });
        add("flat", [](auto, auto) { return 3; });
        add("plateaus", [](auto, auto c) { return c / 3 % 4; });
        add("ramp", [](auto r, auto c) { return r + c; });
        add("falling", [](auto r, auto c) { return 1000 - r - c; });
        add("impulse", [](auto r, auto c) { return r == 0 && c == 0 ? 1 : 0; });
        add("noise", [&](auto, auto) { return 1.0f + random.symmetric(); });
        add("subnormal",
            [&](auto, auto) { return 0x1p-149f * static_cast<float>(random.below(50)); });
        add("heavy tail", [&](auto, auto) {
            const float u = 1.0f + random.symmetric();
            return 1.0f / (u * u * u * u + 0x1p-40f);
        });
    }
    return all;
}

/// The same of shapes with room for every block.
inline std::vector<signal> tall_signals() { return signals({{32, 1}, {33, 5}, {64, 3}, {71, 66}}); }

inline matrix scaled(matrix scores, float factor) {
    for (float& x : scores.data()) x *= factor;
    return scores;
}

inline matrix rows_reversed(const matrix& scores) {
    matrix other(scores.rows(), scores.cols());
    for (std::size_t r = 0; r < scores.rows(); ++r)
        for (std::size_t c = 0; c < scores.cols(); ++c)
            other(r, c) = scores(scores.rows() - 1 - r, c);
    return other;
}

/// Every bit is written, whatever the mask held.
template <class P>
bool writes_every_bit(const P& pattern, const matrix& scores) {
    bits fresh(scores.rows(), scores.cols()), used(scores.rows(), scores.cols(), true);
    return prune::detail::select(pattern, scores.view(), fresh.view()) &&
           prune::detail::select(pattern, scores.view(), used.view()) &&
           fresh.text() == used.text();
}

/// Only the order of the scores counts: a power of two, which rounds nothing here, changes nothing.
template <class P>
bool ignores_scale(const P& pattern, const matrix& scores) {
    const std::string mask = selected(pattern, scores);
    return mask == selected(pattern, scaled(scores, 4.0f)) &&
           mask == selected(pattern, scaled(scores, 0x1p20f));
}

/// Nothing pruned is better than something kept of the same row that it could have replaced: for
/// any two weights of one group, a kept one is better, or equal and earlier.
template <class P>
bool keeps_the_best(const P& pattern, const matrix& scores, std::size_t group) {
    bits kept(scores.rows(), scores.cols());
    pattern.select(scores.view(), kept.view());
    for (std::size_t r = 0; r < scores.rows(); ++r)
        for (std::size_t a = 0; a < scores.cols(); ++a)
            for (std::size_t b = a / group * group;
                 b < std::min(scores.cols(), (a / group + 1) * group); ++b)
                if (kept(r, a) && !kept(r, b) &&
                    !(scores(r, a) > scores(r, b) || (scores(r, a) == scores(r, b) && a < b)))
                    return false;
    return true;
}

/// Exactly N of every full group of M, min(N, length) of a short last one.
template <class P>
bool keeps_n_of_m(const P& pattern, const matrix& scores, std::size_t n, std::size_t m) {
    bits kept(scores.rows(), scores.cols());
    pattern.select(scores.view(), kept.view());
    for (std::size_t r = 0; r < scores.rows(); ++r)
        for (std::size_t begin = 0; begin < scores.cols(); begin += m) {
            const std::size_t end = std::min(scores.cols(), begin + m);
            std::size_t count = 0;
            for (std::size_t c = begin; c < end; ++c) count += kept(r, c);
            if (count != std::min(n, end - begin)) return false;
        }
    return true;
}

/// Rows are decided by themselves: reversing them reverses the rows of the mask.
template <class P>
bool rows_are_independent(const P& pattern, const matrix& scores) {
    const matrix reversed = rows_reversed(scores);
    bits kept(scores.rows(), scores.cols()), other(scores.rows(), scores.cols());
    pattern.select(scores.view(), kept.view());
    pattern.select(reversed.view(), other.view());
    for (std::size_t r = 0; r < scores.rows(); ++r)
        for (std::size_t c = 0; c < scores.cols(); ++c)
            if (kept(r, c) != other(scores.rows() - 1 - r, c)) return false;
    return true;
}

/// Every run of kept rows of a column is a multiple of B high, unless it reaches the end.
template <class P>
bool keeps_blocks(const P& pattern, const matrix& scores, std::size_t block_rows) {
    bits kept(scores.rows(), scores.cols());
    if (!prune::detail::select(pattern, scores.view(), kept.view())) return false;
    for (std::size_t c = 0; c < scores.cols(); ++c) {
        std::size_t run = 0;
        for (std::size_t r = 0; r < scores.rows(); ++r) {
            if (!kept(r, c) && run % block_rows != 0) return false;
            run = kept(r, c) ? run + 1 : 0;
        }
    }
    return true;
}

/// The score of a mask: what it keeps.
template <class P>
double retained(const P& pattern, const matrix& scores) {
    bits kept(scores.rows(), scores.cols());
    pattern.select(scores.view(), kept.view());
    double sum = 0.0;
    for (std::size_t r = 0; r < scores.rows(); ++r)
        for (std::size_t c = 0; c < scores.cols(); ++c)
            sum += kept(r, c) ? static_cast<double>(scores(r, c)) : 0.0;
    return sum;
}

}  // namespace pare::testing

#endif  // PARE_TESTS_CONTRACT_LAWS_HPP
