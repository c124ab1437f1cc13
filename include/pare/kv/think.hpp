// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KV_THINK_HPP
#define PARE_KV_THINK_HPP

#include "../core/tensor_view.hpp"
#include "../prune/query_driven.hpp"
#include "decay.hpp"
#include "store.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

namespace pare::kv::inline PARE_ARCH_NAMESPACE {

/// Which channels the keys of a tier with block_layout::key_channels keep: those with the largest
/// |Q[:, c]|^2 |K[:, c]|^2 (prune::query_driven), Q the queries observed last, K the head's keys.
/// Xu et al., "ThinK", arXiv:2407.21018, with its 32 queries. Here chosen when the first tokens are
/// demoted to the tier; before that, and in decoding, queries weigh less the older they are: (1 -
/// 1/observed)^age.
struct think {
    static constexpr std::size_t observed = 32;

    /// Takes the newest queries of one KV head (n, group_size * head_dim) into `energy` (head_dim).
    static void observe(matrix_view<const float> queries, std::span<float> energy) noexcept {
        const std::size_t n = queries.rows(), dim = energy.size();
        const float kept = 1.0f - 1.0f / static_cast<float>(observed);
        const float carry = n >= observed ? 0.0f : decay(kept, n);
        for (float& e : energy) e *= carry;
        for (std::size_t i = n >= observed ? n - observed : 0; i < n; ++i) {
            const float weight = n >= observed ? 1.0f : decay(kept, n - 1 - i);
            for (std::size_t c = 0; c < queries.cols(); ++c)
                energy[c % dim] += weight * queries(i, c) * queries(i, c);
        }
    }

    /// Fills `channels` (key_channels of the tier below) for the tokens of a head's tier.
    /// @param energy  (head_dim) of the queries; empty: keys alone decide
    /// @param memory  (2 * head_dim)
    static void choose(const store& s, std::size_t sequence, std::size_t layer, std::size_t kv_head,
                       std::size_t tier, std::span<const float> energy, std::span<float> memory,
                       std::span<std::uint16_t> channels) noexcept {
        const std::size_t dim = s.shape().head_dim;
        const std::span<float> key = memory.first(dim), score = memory.subspan(dim, dim);
        for (float& x : score) x = 0.0f;
        const head_view head = s.view(sequence, layer, kv_head, tier);
        for (const ledger_row* row = head.first; row != nullptr; row = row->next)
            for (std::size_t t = 0; t < row->size; ++t) {
                read_key(*head.layout, row->block, t, key);
                for (std::size_t c = 0; c < dim; ++c) score[c] += key[c] * key[c];
            }
        prune::query_driven::score(energy, score, score);
        // The n-th highest score, then all above it and the first of its equals.
        const std::size_t n = channels.size();
        for (std::size_t c = 0; c < dim; ++c) key[c] = score[c];
        std::nth_element(key.data(), key.data() + (n - 1), key.data() + dim, higher{});
        const float least = key[n - 1];
        std::size_t equals = n, found = 0;
        for (const float x : score) equals -= x > least && equals > 0;
        for (std::size_t c = 0; c < dim && found < n; ++c) {
            const bool equal = !(score[c] > least) && !(score[c] < least) && equals > 0;
            equals -= equal;
            if (score[c] > least || equal) channels[found++] = static_cast<std::uint16_t>(c);
        }
        for (; found < n; ++found)  // scores that are no numbers
            channels[found] = static_cast<std::uint16_t>(found);
    }

  private:
    struct higher {
        bool operator()(float a, float b) const noexcept { return a > b; }
    };
};

}  // namespace pare::kv::inline PARE_ARCH_NAMESPACE

#endif  // PARE_KV_THINK_HPP
