// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KERNEL_ATTENTION_REFERENCE_HPP
#define PARE_KERNEL_ATTENTION_REFERENCE_HPP

#include "../core/tensor_view.hpp"
#include "../kv/store.hpp"
#include "score_tap.hpp"

#include <cmath>
#include <cstddef>
#include <span>

namespace pare::kernel::inline PARE_ARCH_NAMESPACE {

/// The scalar twin of the attention kernel, and the definition of its answer: one KV head, all its
/// tiers, summed in double. queries, out: (tokens, query_heads * head_dim), of which the
/// `group_size` query heads from `first_query_head` on are read and written; query i stands at
/// `position` + i and sees the tokens there and before. A query that sees none gets zeros.
/// @param p        (group_size * kept tokens + head_dim) memory
/// @param decoded  (head_dim) memory
inline void attention_ref(std::span<const kv::tier_rows> tiers, std::size_t dim,
                          std::size_t first_query_head, std::size_t group_size,
                          matrix_view<const float> queries, matrix_view<float> out,
                          std::size_t position, const score_tap& tap, std::span<double> p,
                          std::span<float> decoded) noexcept {
    bool hidden = false;                         // the visited token is not selected
    const auto for_tokens = [&](auto&& visit) {  // visit(row, token in row, token, layout)
        std::size_t n = 0;
        for (const kv::tier_rows& tier : tiers) {
            std::size_t index = 0;
            for (kv::ledger_row* row = tier.first; row != nullptr; row = row->next, ++index)
                for (std::size_t t = 0; t < row->size; ++t) {
                    hidden = (tier.selected_of(index) >> t & 1) == 0;
                    visit(*row, t, n++, *tier.layout);
                }
        }
        return n;
    };
    const std::size_t n =
        for_tokens([&](kv::ledger_row& row, std::size_t t, std::size_t, const auto&) {
            if (!tap.weights.empty()) row.attention[t] *= tap.carry;
        });
    const std::span<double> sum = p.subspan(group_size * n, dim);
    for (std::size_t i = 0; i < queries.rows(); ++i) {
        for (std::size_t g = 0; g < group_size; ++g) {
            const std::size_t column = (first_query_head + g) * dim;
            const std::span<const float> q = queries.row_span(i).subspan(column, dim);
            double most = 0.0, total = 0.0;
            bool any = false;
            const std::span<double> mine = p.subspan(g * n, n);
            for_tokens([&](kv::ledger_row& row, std::size_t t, std::size_t token,
                           const kv::block_layout& layout) {
                if (hidden || row.positions[t] > position + i) return;
                kv::read_key(layout, row.block, t, decoded);
                double dot = 0.0;
                for (std::size_t d = 0; d < dim; ++d)
                    dot += static_cast<double>(q[d]) * static_cast<double>(decoded[d]);
                mine[token] = dot / std::sqrt(static_cast<double>(dim));
                if (!any || mine[token] > most) most = mine[token];
                any = true;
            });
            for_tokens([&](kv::ledger_row& row, std::size_t t, std::size_t token, const auto&) {
                const bool unseen = hidden || row.positions[t] > position + i;
                mine[token] = unseen ? 0.0 : std::exp(mine[token] - most);
                total += mine[token];
            });
            for (double& x : sum) x = 0.0;
            for_tokens([&](kv::ledger_row& row, std::size_t t, std::size_t token,
                           const kv::block_layout& layout) {
                if (any) mine[token] /= total;
                kv::read_value(layout, row.block, t, decoded);
                if (mine[token] != 0.0)
                    for (std::size_t d = 0; d < dim; ++d)
                        sum[d] += mine[token] * static_cast<double>(decoded[d]);
            });
            for (std::size_t d = 0; d < dim; ++d) out(i, column + d) = static_cast<float>(sum[d]);
        }
        if (tap.weights.empty()) continue;
        for_tokens([&](kv::ledger_row& row, std::size_t t, std::size_t token, const auto&) {
            double reduced = 0.0;
            for (std::size_t g = 0; g < group_size; ++g) {
                const double x = p[g * n + token];
                if (tap.across != kv::reduction::max) reduced += x;
                else if (x > reduced) reduced = x;
            }
            if (tap.across == kv::reduction::mean) reduced /= static_cast<double>(group_size);
            row.attention[t] += tap.weights[i] * static_cast<float>(reduced);
        });
    }
}

}  // namespace pare::kernel::inline PARE_ARCH_NAMESPACE

#endif  // PARE_KERNEL_ATTENTION_REFERENCE_HPP
