// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PRUNE_V_N_M_HPP
#define PARE_PRUNE_V_N_M_HPP

#include "best_four.hpp"
#include "concepts.hpp"
#include "hinm_order.hpp"
#include "keep_groups.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace pare::prune::inline PARE_ARCH_NAMESPACE {

/// V:N:M: every block of V output channels and M consecutive columns keeps the four columns of
/// which N:4 keeps most, then every row keeps the N best of these four: N of M weights. All sets of
/// four are tried, so the columns are the best. Castro et al., "VENOM: A Vectorized N:M Format for
/// Unleashing the Power of Sparse Tensor Cores", arXiv:2310.02065, which has N = 2. When rows is no
/// multiple of V the last blocks have fewer rows; the cols % M columns left over are a block of
/// their own, which keeps four of them, or all when there are fewer. Of equal sets the first stays.
///
/// A block's sets are C(M, 4): 70 for M = 8, 35,960 for M = 32, for which a matrix of 4096 x 4096
/// takes seconds. 8 V M bytes of stack.
template <int V, int N, int M>
struct v_n_m {
    static_assert(1 <= N && N <= 4, "v_n_m<V, N, M> keeps N of four columns: 1 <= N <= 4");
    static_assert(4 <= M && M <= 32, "v_n_m<V, N, M> keeps four of every M columns: 4 <= M <= 32");
    static_assert(1 <= V && V <= 256, "v_n_m<V, N, M> has blocks of V rows: 1 <= V <= 256");
    // As hinm<N, 4, V>: the kept columns are packed alike.
    static constexpr int kept_of_group = N;
    static constexpr int group = 4;
    static constexpr int tile_rows = V;

    status check() const noexcept { return {}; }

    /// Columns that each tile of V rows keeps, four of each block; the last group may be shorter.
    static std::size_t kept_columns(std::size_t cols) noexcept {
        return cols / M * 4 + (cols % M < 4 ? cols % M : 4);
    }

    void select(matrix_view<const float> scores, mask_view kept) const noexcept {
        for_each_block(scores, [&](auto rows, auto block, auto columns) {
            for (const std::uint32_t r : rows)
                for (std::size_t c = 0; c < block.n; ++c) kept.set(r, block.first + c, false);
            detail::keep_n_of<N>(columns, rows, scores, kept);
        });
    }
    /// In a given order; scores and mask keep theirs. @pre the order is for this shape and pattern
    static void select(matrix_view<const float> scores, const hinm_order& order,
                       mask_view kept) noexcept {
        detail::keep_by_order<N, group>(scores, order, kept);
    }

    /// The order of the first select(): outputs in place, columns ascending.
    result<hinm_order> make_order(matrix_view<const float> scores) const noexcept {
        auto made = hinm_order::make(scores.rows(), scores.cols(), V, kept_columns(scores.cols()));
        if (!made) return made;
        for_each_block(scores, [&](auto rows, auto block, auto columns) {
            const auto of_tile = made->columns(rows.front() / V).subspan(block.first / M * 4);
            for (std::size_t i = 0; i < columns.size(); ++i) of_tile[i] = columns[i];
        });
        return made;
    }

    /// What an order made elsewhere must be for weights of this shape.
    status check(const hinm_order& order, std::size_t rows, std::size_t cols) const noexcept {
        if (order.rows() != rows || order.cols() != cols || order.tile_rows() != V ||
            order.kept() != kept_columns(cols) || order.dense() != 0)
            return error{errc::shape_mismatch, "v_n_m: the order is for another shape or pattern"};
        return order.check();
    }

  private:
    struct column_range {
        std::size_t first, n;
    };
    // visit(rows, columns of the block, those that it keeps)
    static void for_each_block(matrix_view<const float> scores, auto&& visit) noexcept {
        detail::best_four<V, N, M> search;
        std::array<std::uint32_t, std::size_t{V}> rows;
        std::array<std::uint32_t, 4> kept{};
        for (std::size_t row = 0; row < scores.rows(); row += V) {
            std::size_t n_rows = 0;
            for (; n_rows < V && row + n_rows < scores.rows(); ++n_rows)
                rows[n_rows] = static_cast<std::uint32_t>(row + n_rows);
            const std::span<const std::uint32_t> of_block(rows.data(), n_rows);
            for (std::size_t first = 0; first < scores.cols(); first += M) {
                const std::size_t left = scores.cols() - first, n = left < M ? left : M;
                const std::size_t n_kept = n < 4 ? n : 4;
                std::array<std::size_t, 4> best{0, 1, 2, 3};
                if (n > 4) {
                    search.read(scores, of_block, first, n);
                    best = search.find();
                }
                for (std::size_t i = 0; i < n_kept; ++i)
                    kept[i] = static_cast<std::uint32_t>(first + best[i]);
                visit(of_block, column_range{first, n},
                      std::span<const std::uint32_t>(kept.data(), n_kept));
            }
        }
    }
};

static_assert(pattern<v_n_m<64, 2, 8>>);
static_assert(!n_of_m_pattern<v_n_m<64, 2, 8>>);

}  // namespace pare::prune::inline PARE_ARCH_NAMESPACE

#endif  // PARE_PRUNE_V_N_M_HPP
