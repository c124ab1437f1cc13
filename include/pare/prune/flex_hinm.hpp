// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PRUNE_FLEX_HINM_HPP
#define PARE_PRUNE_FLEX_HINM_HPP

#include "../core/dtype.hpp"
#include "column_regions.hpp"
#include "concepts.hpp"
#include "hinm_order.hpp"
#include "keep_groups.hpp"

#include <cstddef>
#include <cstdint>

namespace pare::prune::inline PARE_ARCH_NAMESPACE {

/// Hierarchical N:M with a third kind of column: of every tile of V output channels some column
/// vectors are dense, some N:M, the others dropped. A row keeps w = cols (1 - sparsity) weights
/// whatever the boundary: with g groups of N:M, w - g N vectors are dense, which for 2:4 is the
/// paper's cols (1 + vector sparsity - 2 sparsity). g is that of the most saliency retained, the
/// least of equals, and the same for all tiles. "FlexHiNM-GP", ICLR 2026.
///
/// The paper scans vector sparsity downward by adaptive steps that take R_dense + R_N:M for
/// concave; here every whole group is tried, g = 0 first. Which vectors are dense: those of the
/// largest sums, then N:M takes the next, grouped in ascending order. Sums are the right measure as
/// long as N:M keeps the same share of all columns; in general they are a heuristic, which retains
/// at least (D + N/M S) / (D + S) of the best there is, D and S the sums of all dense and all N:M
/// vectors. A last tile of fewer rows is like any other. Permutation (gyro) does not know regions.
template <int N, int M, int V>
struct flex_hinm {
    static_assert(1 <= N && N < M && M <= 32, "flex_hinm<N, M, V> has groups: 1 <= N < M <= 32");
    static_assert(1 <= V && V <= 1024, "flex_hinm<N, M, V> has tiles of V rows: 1 <= V <= 1024");
    static constexpr int kept_of_group = N;
    static constexpr int group = M;
    static constexpr int tile_rows = V;

    float sparsity = 0.75f;  ///< share of the weights that are dropped, in [0, 1)

    status check() const noexcept {
        if (!is_nan(sparsity) && sparsity >= 0.0f && sparsity < 1.0f) return {};
        return error{errc::invalid_argument, "flex_hinm: sparsity must be in [0, 1)"};
    }

    /// Weights that a row keeps: rounded down, at least one.
    std::size_t kept_weights(std::size_t cols) const noexcept {
        // Half an ulp of sparsity may not cost a weight.
        const double share = 1.0 - static_cast<double>(sparsity) + 0x1p-24;
        const auto kept = static_cast<std::size_t>(static_cast<double>(cols) * share);
        if (kept == 0) return cols == 0 ? 0 : 1;
        return kept < cols ? kept : cols;
    }
    /// Groups of N:M that a tile may have, beside none.
    std::size_t most_groups(std::size_t cols) const noexcept {
        const std::size_t kept = kept_weights(cols);
        const std::size_t of_kept = kept / N, of_dropped = (cols - kept) / (M - N);
        return of_kept < of_dropped ? of_kept : of_dropped;
    }

    /// scores >= 0. @return what make_order() says, the mask untouched. Allocates.
    status select(matrix_view<const float> scores, mask_view kept) const noexcept {
        const auto order = make_order(scores);
        if (!order) return order.error();
        select(scores, *order, kept);
        return {};
    }
    /// In a given order; scores and mask keep theirs. @pre the order is for this shape and pattern
    static void select(matrix_view<const float> scores, const hinm_order& order,
                       mask_view kept) noexcept {
        detail::keep_by_order<N, M>(scores, order, kept);
    }

    /// The best boundary: outputs in place, columns of each region ascending. scores >= 0.
    /// @return out_of_memory
    result<hinm_order> make_order(matrix_view<const float> scores) const noexcept;

    /// What an order made elsewhere must be for weights of this shape, whatever its boundary.
    status check(const hinm_order& order, std::size_t rows, std::size_t cols) const noexcept {
        const std::size_t grouped = order.kept() - order.dense();
        if (order.rows() != rows || order.cols() != cols || order.tile_rows() != V ||
            grouped % M != 0 || order.dense() + grouped / M * N != kept_weights(cols))
            return error{errc::shape_mismatch,
                         "flex_hinm: the order is for another shape or pattern"};
        return order.check();
    }
};

template <int N, int M, int V>
result<hinm_order> flex_hinm<N, M, V>::make_order(matrix_view<const float> scores) const noexcept {
    const std::size_t cols = scores.cols(), weights = kept_weights(cols);
    const float scale = detail::unit_of({&scores, 1});
    const auto dense_with = [&](std::size_t groups) { return weights - groups * N; };
    const auto kept_with = [&](std::size_t groups) { return weights + groups * (M - N); };
    auto in_place = hinm_order::make(scores.rows(), cols, V, 0);
    auto tile = detail::column_regions<N, M>::make(V, cols);
    auto retained = buffer<double>::make(most_groups(cols) + 1);
    if (!in_place) return in_place.error();
    if (!tile) return tile.error();
    if (!retained) return retained.error();
    for (std::size_t t = 0; t < in_place->n_tiles(); ++t) {
        tile->read(scores, in_place->outputs_of(t), scale);
        for (std::size_t g = 0; g < retained->size(); ++g)
            (*retained)[g] += tile->retained(dense_with(g), kept_with(g));
    }
    std::size_t best = 0;
    for (std::size_t g = 1; g < retained->size(); ++g)
        if ((*retained)[g] > (*retained)[best]) best = g;

    const std::size_t dense = dense_with(best), kept = kept_with(best);
    auto made = hinm_order::make(scores.rows(), cols, V, kept, dense);
    for (std::size_t t = 0; made && t < made->n_tiles(); ++t) {
        tile->read(scores, made->outputs_of(t), scale);
        std::size_t n = 0;
        const auto take = [&](std::uint32_t c) { made->columns(t)[n++] = c; };
        tile->for_each(0, dense, take);
        tile->for_each(dense, kept, take);
    }
    return made;
}

static_assert(pattern<flex_hinm<2, 4, 32>>);
static_assert(!n_of_m_pattern<flex_hinm<2, 4, 32>>);

}  // namespace pare::prune::inline PARE_ARCH_NAMESPACE

#endif  // PARE_PRUNE_FLEX_HINM_HPP
