// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PRUNE_HINM_HPP
#define PARE_PRUNE_HINM_HPP

#include "../core/dtype.hpp"
#include "concepts.hpp"
#include "hinm_order.hpp"
#include "keep_groups.hpp"
#include "keep_vectors.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace pare::prune::inline PARE_ARCH_NAMESPACE {

/// Hierarchical N:M: every tile of V output channels keeps its best column vectors, then every row
/// keeps the N best of every M weights that are consecutive among those kept. The score of a vector
/// is the sum of its V scores. Yu et al., "Toward Efficient Permutation for Hierarchical N:M
/// Sparsity on GPUs", arXiv:2407.20496. When rows is no multiple of V the last tile has fewer. Of
/// equal vectors the first stay.
template <int N, int M, int V>
struct hinm {
    static_assert(1 <= N && N <= M && M <= 32, "hinm<N, M, V> groups like n_m: 1 <= N <= M <= 32");
    static_assert(1 <= V && V <= 1024, "hinm<N, M, V> has tiles of V rows: 1 <= V <= 1024");
    // Not n and m: the weights are N:M in the order of the kept columns only.
    static constexpr int kept_of_group = N;
    static constexpr int group = M;
    static constexpr int tile_rows = V;

    float vector_sparsity = 0.5f;  ///< share of the columns that a tile drops, in [0, 1)

    status check() const noexcept {
        if (!is_nan(vector_sparsity) && vector_sparsity >= 0.0f && vector_sparsity < 1.0f)
            return {};
        return error{errc::invalid_argument, "hinm: vector_sparsity must be in [0, 1)"};
    }

    /// Columns that each tile keeps: all where vector_sparsity is 0, the last group then being
    /// shorter if need be; else cols * (1 - vector_sparsity) rounded down to whole groups, at least
    /// one.
    std::size_t kept_columns(std::size_t cols) const noexcept {
        if (vector_sparsity == 0.0f || cols < M) return cols;
        // Half an ulp of vector_sparsity may not cost a group.
        const double share = 1.0 - static_cast<double>(vector_sparsity) + 0x1p-24;
        const auto kept = static_cast<std::size_t>(static_cast<double>(cols) * share);
        return kept < M ? M : kept / M * M;
    }

    /// Rows and columns in their own order.
    void select(matrix_view<const float> scores, mask_view kept) const noexcept;

    /// In a given order; scores and mask keep theirs. @pre the order is for this shape and pattern
    static void select(matrix_view<const float> scores, const hinm_order& order,
                       mask_view kept) noexcept {
        detail::keep_by_order<N, M>(scores, order, kept);
    }

    /// The order of the first select(): outputs in place, columns ascending.
    result<hinm_order> make_order(matrix_view<const float> scores) const noexcept;

    /// What an order made elsewhere must be for weights of this shape.
    status check(const hinm_order& order, std::size_t rows, std::size_t cols) const noexcept {
        if (order.rows() != rows || order.cols() != cols || order.tile_rows() != V ||
            order.kept() != kept_columns(cols) || order.dense() != 0)
            return error{errc::shape_mismatch, "hinm: the order is for another shape or pattern"};
        return order.check();
    }
};

template <int N, int M, int V>
void hinm<N, M, V>::select(matrix_view<const float> scores, mask_view kept) const noexcept {
    for (std::size_t begin = 0; begin < scores.rows(); begin += V) {
        const std::size_t left = scores.rows() - begin;
        std::array<std::uint32_t, std::size_t{V}> rows;
        std::size_t n_rows = 0;
        for (; n_rows < V && n_rows < left; ++n_rows)
            rows[n_rows] = static_cast<std::uint32_t>(begin + n_rows);
        std::array<std::uint32_t, std::size_t{M}> columns;
        std::size_t n_columns = 0;
        const auto select_rest = [&] {
            detail::keep_n_of<N>({columns.data(), n_columns}, {rows.data(), n_rows}, scores, kept);
            n_columns = 0;
        };
        detail::for_each_vector(scores.cols(), kept_columns(scores.cols()),
                                detail::row_sums{scores, {rows.data(), n_rows}},
                                [&](std::size_t c, bool keep) {
                                    if (!keep) {
                                        for (std::size_t i = 0; i < n_rows; ++i)
                                            kept.set(rows[i], c, false);
                                        return;
                                    }
                                    columns[n_columns++] = static_cast<std::uint32_t>(c);
                                    if (n_columns == M) select_rest();
                                });
        select_rest();
    }
}

template <int N, int M, int V>
result<hinm_order> hinm<N, M, V>::make_order(matrix_view<const float> scores) const noexcept {
    auto made = hinm_order::make(scores.rows(), scores.cols(), V, kept_columns(scores.cols()));
    for (std::size_t t = 0; made && t < made->n_tiles(); ++t) {
        std::size_t n = 0;
        detail::for_each_vector(scores.cols(), made->kept(),
                                detail::row_sums{scores, made->outputs_of(t)},
                                [&](std::size_t c, bool keep) {
                                    if (keep) made->columns(t)[n++] = static_cast<std::uint32_t>(c);
                                });
    }
    return made;
}

static_assert(pattern<hinm<2, 4, 32>>);
static_assert(!n_of_m_pattern<hinm<2, 4, 32>>);

}  // namespace pare::prune::inline PARE_ARCH_NAMESPACE

#endif  // PARE_PRUNE_HINM_HPP
