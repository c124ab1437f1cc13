// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PRUNE_KEEP_GROUPS_HPP
#define PARE_PRUNE_KEEP_GROUPS_HPP

#include "../core/tensor_view.hpp"
#include "hinm_order.hpp"
#include "mask.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace pare::prune::inline PARE_ARCH_NAMESPACE::detail {

/// Each of some rows keeps the N best of a group of columns, of equal ones the first.
template <int N>
void keep_n_of(std::span<const std::uint32_t> columns, std::span<const std::uint32_t> rows,
               matrix_view<const float> scores, mask_view kept) noexcept {
    for (const std::uint32_t r : rows)
        for (std::size_t i = 0; i < columns.size(); ++i) {
            const float score = scores(r, columns[i]);
            int better = 0;
            for (std::size_t j = 0; j < columns.size(); ++j)
                better += j < i ? scores(r, columns[j]) >= score : scores(r, columns[j]) > score;
            kept.set(r, columns[i], better < N);
        }
}

/// What an order keeps: the dense columns of each tile whole, N of every M of the others.
template <int N, int M>
void keep_by_order(matrix_view<const float> scores, const hinm_order& order,
                   mask_view kept) noexcept {
    for (std::size_t t = 0; t < order.n_tiles(); ++t) {
        const auto rows = order.outputs_of(t);
        const auto columns = order.columns(t);
        for (const std::uint32_t r : rows) {
            for (std::size_t c = 0; c < scores.cols(); ++c) kept.set(r, c, false);
            for (const std::uint32_t c : columns.first(order.dense())) kept.set(r, c, true);
        }
        for (std::size_t begin = order.dense(); begin < columns.size(); begin += M) {
            const std::size_t left = columns.size() - begin;
            keep_n_of<N>(columns.subspan(begin, left < M ? left : M), rows, scores, kept);
        }
    }
}

}  // namespace pare::prune::inline PARE_ARCH_NAMESPACE::detail

#endif  // PARE_PRUNE_KEEP_GROUPS_HPP
