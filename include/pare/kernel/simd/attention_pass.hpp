// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KERNEL_SIMD_ATTENTION_PASS_HPP
#define PARE_KERNEL_SIMD_ATTENTION_PASS_HPP

#include "../../core/tensor_view.hpp"
#include "../../kv/ledger.hpp"
#include "../score_tap.hpp"
#include "exp.hpp"
#include "kv_block.hpp"

#include <array>
#include <cmath>
#include <cstddef>
#include <span>

namespace pare::simd::inline PARE_ARCH_NAMESPACE {

/// Blocks whose logits are turned into probabilities together.
inline constexpr std::size_t segment_blocks = 4;
inline constexpr std::size_t segment_tokens = segment_blocks * kv::block_tokens;
/// Query heads of a KV head.
inline constexpr std::size_t max_group_size = 256;

/// Rows (one query, one query head) that pass over a head's blocks together at most.
constexpr std::size_t pass_rows(std::size_t group_size) noexcept {
    return group_size > 16 ? (group_size + 3) / 4 * 4 : 16;
}

/// Floats of the memory that an attention_pass works in: queries, outputs, logits and, for the tap,
/// the probabilities of all tokens and the largest logit of each segment.
constexpr std::size_t pass_floats(std::size_t group_size, std::size_t head_dim,
                                  std::size_t tokens) noexcept {
    const std::size_t padded_dim = (head_dim + kv::group - 1) / kv::group * kv::group;
    const std::size_t segments = (tokens + segment_tokens - 1) / segment_tokens + kv::max_tiers;
    return pass_rows(group_size) *
           (head_dim + padded_dim + segment_tokens + segments * (segment_tokens + 1));
}

#if PARE_HAS_SIMD

/// One KV head's pass over a block of rows. Row r: query r / group_size of the block, its query
/// head r % group_size.
class attention_pass {
  public:
    /// @param memory  pass_floats() of them
    attention_pass(const kv::block_layout& layout, std::size_t group_size,
                   std::span<float> memory) noexcept
        : layout_(layout), group_size_(group_size), dim_(layout.head_dim),
          padded_(layout.padded_dim()) {
        const std::size_t rows = pass_rows(group_size);
        queries_ = memory.data();
        out_ = queries_ + rows * dim_;
        logits_ = out_ + rows * padded_;
        tapped_ = logits_ + rows * segment_tokens;
    }

    /// queries, out: this KV head's columns, (n, group_size * head_dim).
    void run(std::span<const kv::tier_rows> tiers, matrix_view<const float> queries,
             matrix_view<float> out, std::size_t position, const kernel::score_tap& tap) noexcept {
        start(queries);
        std::size_t segment = 0;
        for (const kv::tier_rows& tier : tiers)
            segment = pass_over(tier, segment, position, !tap.weights.empty(), true);
        store(out);
        segment = 0;
        for (std::size_t i = 0; i < tiers.size() && !tap.weights.empty(); ++i)
            segment = add_scores(tiers[i], segment, tap,
                                 [](kv::ledger_row& row) { return row.attention.data(); });
    }

    /// What run() would add to the sums of one query, and nothing else: votes[32 r + t] is the sum
    /// over the query heads of the probability of token t of the r-th row of all tiers.
    void vote(std::span<const kv::tier_rows> tiers, matrix_view<const float> query,
              std::size_t position, std::span<float> votes) noexcept {
        start(query);
        std::size_t segment = 0;
        for (const kv::tier_rows& tier : tiers)
            segment = pass_over(tier, segment, position, true, false);
        const float weight = 1.0f;
        segment = 0;
        float* to = votes.data();
        for (const kv::tier_rows& tier : tiers)
            segment = add_scores(tier, segment, {0.0f, {&weight, 1}, kv::reduction::sum},
                                 [&](kv::ledger_row&) {
                                     to += kv::block_tokens;
                                     return to - kv::block_tokens;
                                 });
    }

  private:
    void start(matrix_view<const float> queries) noexcept {
        n_rows_ = queries.rows() * group_size_;
        load_queries(queries);
        most_.fill(nothing_seen);
        sum_.fill(0.0f);
        shift_.fill(0.0f);
    }

    /// Goes on with the rows of a tier, whose segments are counted from `segment` on.
    std::size_t pass_over(const kv::tier_rows& tier, std::size_t segment, std::size_t position,
                          bool tapped, bool with_values) noexcept {
        layout_ = *tier.layout;
        std::array<kv_block, segment_blocks> blocks;
        std::array<seen_row, segment_blocks> seen;
        selected_row at{tier};
        for (; at.row != nullptr; ++segment) {
            std::size_t n = 0;
            for (; n < segment_blocks && at.row != nullptr; ++n, at.step()) {
                seen[n] = {at.row, tier.selected_of(at.index)};
                prefetch(at.row->ahead, 0);
                blocks[n] = {at.row->block, at.row->size, at.row->block};
            }
            selected_row next = at;
            for (std::size_t b = 0; b < n && next.row != nullptr; ++b, next.step())
                blocks[b].ahead = next.row->block;
            compute_logits(std::span(blocks).first(n));
            hide(std::span(seen).first(n), position);
            float* const kept =
                tapped ? tapped_ + segment * n_rows_ * (segment_tokens + 1) : nullptr;
            to_probabilities(std::span(blocks).first(n), kept);
            if (with_values) to_outputs(std::span(blocks).first(n));
        }
        return segment;
    }

    /// Walks over the rows of a tier of which any token is selected.
    struct selected_row {
        const kv::tier_rows& tier;
        kv::ledger_row* row = tier.first;
        std::size_t index = 0;

        explicit selected_row(const kv::tier_rows& t) noexcept : tier(t) { skip(); }
        void step() noexcept {
            row = row->next;
            ++index;
            skip();
        }

      private:
        void skip() noexcept {
            for (; row != nullptr && tier.selected_of(index) == 0; ++index) row = row->next;
        }
    };
    struct seen_row {
        const kv::ledger_row* row;
        std::uint32_t selected;
    };

    /// What a token that a query does not see has for a logit: finite, for -ffast-math.
    static constexpr float unseen = -1e30f;
    /// The largest logit where there is none yet; what lies below it weighs nothing.
    static constexpr float nothing_seen = unseen / 2;

    void load_queries(matrix_view<const float> queries) noexcept {
        const float scale = 1.0f / std::sqrt(static_cast<float>(dim_));
        const std::size_t padded_rows = (n_rows_ + 3) / 4 * 4;
        for (std::size_t r = 0; r < padded_rows; ++r) {
            for (std::size_t d = 0; d < dim_; ++d)
                queries_[r * dim_ + d] =
                    r < n_rows_ ? queries(r / group_size_, r % group_size_ * dim_ + d) * scale
                                : 0.0f;
            for (std::size_t d = 0; d < padded_; ++d) out_[r * padded_ + d] = 0.0f;
            rescale_[r] = 0.0f;
            float total = 0.0f;
            for (std::size_t d = 0; d < dim_; ++d) total += queries_[r * dim_ + d];
            query_sum_[r] = total;
        }
    }

    void compute_logits(std::span<const kv_block> blocks) noexcept {
        constexpr std::size_t per_block = kv::block_tokens / kv::group;
        const std::size_t n_tiles = blocks.size() * per_block;
        std::array<const std::byte*, segment_blocks * per_block> tiles;
        for (std::size_t i = 0; i < tiles.size(); ++i) {
            const std::size_t tile = i < n_tiles ? i : n_tiles - 1;  // some wholes need filling up
            tiles[i] = blocks[tile / per_block].block + tile % per_block * layout_.tile_bytes();
        }
        with_element(layout_.keys, [&]<kv::element E>() {
            for (std::size_t r = 0; r < n_rows_; r += queries_at_once)
                for (std::size_t i = 0; i < n_tiles; i += groups_at_once) {
                    std::array<const std::byte*, groups_at_once> some;
                    for (std::size_t g = 0; g < some.size(); ++g) some[g] = tiles[i + g];
                    dot_keys<E>(layout_, some, queries_ + r * dim_, dim_,
                                logits_ + r * segment_tokens + i * kv::group, segment_tokens);
                }
        });
        if (!kv::has_scales(layout_.keys)) return;
        for (std::size_t b = 0; b < blocks.size(); ++b) {
            const auto scales = scales_at(blocks[b].block + layout_.key_scales_at());
            for (std::size_t r = 0; r < n_rows_; ++r) {
                float* const to = logits_ + r * segment_tokens + b * kv::block_tokens;
                for (std::size_t v = 0; v < block_vecs; ++v) {
                    const vecf codes = vecf::load_unaligned(to + v * lanes);
                    fma(codes, scales[v], vecf(query_sum_[r]) * scales[block_vecs + v])
                        .store_unaligned(to + v * lanes);
                }
            }
        }
    }

    // Hides the places that hold no token, tokens that are not selected and those after a query.
    void hide(std::span<const seen_row> seen, std::size_t position) noexcept {
        for (std::size_t b = 0; b < seen.size(); ++b) {
            const kv::ledger_row& row = *seen[b].row;
            for (std::size_t r = 0; r < n_rows_; ++r) {
                float* const to = logits_ + r * segment_tokens + b * kv::block_tokens;
                for (std::size_t t = row.size; t < kv::block_tokens; ++t) to[t] = unseen;
                if (~seen[b].selected != 0)
                    for (std::size_t t = 0; t < row.size; ++t)
                        if ((seen[b].selected >> t & 1) == 0) to[t] = unseen;
                const std::size_t mine = position + r / group_size_;
                if (row.newest <= mine) continue;
                for (std::size_t t = 0; t < row.size; ++t)
                    if (row.positions[t] > mine) to[t] = unseen;
            }
        }
        const std::size_t end = seen.size() * kv::block_tokens;
        n_tokens_ = end;
    }

    // Logits become probabilities relative to the largest so far; `kept` gets a copy and that
    // largest, for the tap.
    void to_probabilities(std::span<const kv_block> blocks, float* kept) noexcept {
        for (std::size_t r = 0; r < n_rows_; ++r) {
            float* const row = logits_ + r * segment_tokens;
            vecf most(most_[r]);
            for (std::size_t t = 0; t < n_tokens_; t += lanes)
                most = xsimd::max(most, vecf::load_unaligned(row + t));
            alignas(64) std::array<float, lanes> each;
            most.store_aligned(each.data());
            float largest = each[0];
            for (const float x : each) largest = x > largest ? x : largest;
            exp_or_zero(vecf(most_[r] - largest)).store_aligned(each.data());
            rescale_[r] = each[0];
            most_[r] = largest;
            vecf sum(0.0f);
            for (std::size_t t = 0; t < n_tokens_; t += lanes) {
                const vecf p = exp_or_zero(vecf::load_unaligned(row + t) - vecf(largest));
                p.store_unaligned(row + t);
                if (kept != nullptr) p.store_unaligned(kept + r * segment_tokens + t);
                sum = sum + p;
            }
            sum.store_aligned(each.data());
            float total = 0.0f;
            for (const float x : each) total += x;
            sum_[r] = sum_[r] * rescale_[r] + total;
            if (kept != nullptr) kept[n_rows_ * segment_tokens + r] = largest;
        }
        if (!kv::has_scales(layout_.values)) return;
        for (std::size_t r = 0; r < n_rows_; ++r) shift_[r] *= rescale_[r];
        for (std::size_t b = 0; b < blocks.size(); ++b) {
            const auto scales = scales_at(blocks[b].block + layout_.value_scales_at());
            for (std::size_t r = 0; r < n_rows_; ++r) {
                float* const p = logits_ + r * segment_tokens + b * kv::block_tokens;
                vecf shift(0.0f);
                for (std::size_t v = 0; v < block_vecs; ++v) {
                    const vecf x = vecf::load_unaligned(p + v * lanes);
                    shift = fma(x, scales[block_vecs + v], shift);
                    (x * scales[v]).store_unaligned(p + v * lanes);
                }
                alignas(64) std::array<float, lanes> each;
                shift.store_aligned(each.data());
                for (const float x : each) shift_[r] += x;
            }
        }
    }

    void to_outputs(std::span<const kv_block> blocks) noexcept {
        const std::size_t groups = padded_ / kv::group;
        with_element(layout_.values, [&]<kv::element E>() {
            for (std::size_t r = 0; r < n_rows_; r += queries_at_once) {
                const auto add = [&]<std::size_t Groups>(std::size_t g) {
                    add_values<E, Groups>(layout_, blocks.data(), blocks.size(), g,
                                          logits_ + r * segment_tokens, segment_tokens,
                                          &rescale_[r], out_ + r * padded_, padded_);
                };
                std::size_t g = 0;
                for (; g + groups_at_once <= groups; g += groups_at_once)
                    add.template operator()<groups_at_once>(g);
                for (; g < groups; ++g) add.template operator()<1>(g);
            }
        });
    }

    bool sees_a_token(std::size_t row) const noexcept { return most_[row] > nothing_seen; }

    void store(matrix_view<float> out) const noexcept {
        for (std::size_t r = 0; r < n_rows_; ++r) {
            const bool any = sees_a_token(r);
            for (std::size_t d = 0; d < dim_; ++d)
                out(r / group_size_, r % group_size_ * dim_ + d) =
                    any ? (out_[r * padded_ + d] + shift_[r]) / sum_[r] : 0.0f;
        }
    }

    // sums_of(row): where the sums of a row are, 32 of them.
    std::size_t add_scores(const kv::tier_rows& tier, std::size_t segment,
                           const kernel::score_tap& tap, auto&& sums_of) noexcept {
        const float share =
            tap.across == kv::reduction::mean ? 1.0f / static_cast<float>(group_size_) : 1.0f;
        const auto weight = [&](std::size_t row) { return tap.weights[row / group_size_]; };
        const bool is_max = tap.across == kv::reduction::max;  // which is taken before weighing
        std::size_t block = 0;
        alignas(64) std::array<float, max_group_size> factor;
        std::size_t index = 0;
        for (kv::ledger_row* row = tier.first; row != nullptr; row = row->next) {
            float* const sums = sums_of(*row);
            if (tier.selected_of(index++) == 0) {
                for (std::size_t t = 0; t < kv::block_tokens; ++t) sums[t] *= tap.carry;
                continue;
            }
            const float* const kept = tapped_ + segment * n_rows_ * (segment_tokens + 1);
            prefetch(row->ahead, 64);
            prefetch(row->ahead, 128);
            if (block == 0) {
                const float* const largest = kept + n_rows_ * segment_tokens;
                for (std::size_t r = 0; r < n_rows_; r += lanes) {
                    alignas(64) std::array<float, lanes> below{};
                    for (std::size_t l = 0; l < lanes && r + l < n_rows_; ++l)
                        below[l] = largest[r + l] - most_[r + l];
                    exp_or_zero(vecf::load_aligned(below.data())).store_aligned(&factor[r]);
                }
                for (std::size_t r = 0; r < n_rows_; ++r)
                    factor[r] *=
                        sees_a_token(r) ? share * (is_max ? 1.0f : weight(r)) / sum_[r] : 0.0f;
            }
            for (std::size_t t = 0; t < kv::block_tokens; t += lanes) {
                float* const to = sums + t;
                vecf total = vecf(tap.carry) * vecf::load_unaligned(to);
                const float* p = kept + block * kv::block_tokens + t;
                if (is_max) {
                    for (std::size_t r = 0; r < n_rows_; r += group_size_) {
                        vecf most(0.0f);
                        for (std::size_t g = 0; g < group_size_; ++g)
                            most = xsimd::max(
                                most, vecf(factor[r + g]) *
                                          vecf::load_unaligned(p + (r + g) * segment_tokens));
                        total = fma(vecf(weight(r)), most, total);
                    }
                } else {
                    for (std::size_t r = 0; r < n_rows_; ++r)
                        total = fma(vecf(factor[r]), vecf::load_unaligned(p + r * segment_tokens),
                                    total);
                }
                total.store_unaligned(to);
            }
            if (++block == segment_blocks) block = 0, ++segment;
        }
        return block == 0 ? segment : segment + 1;
    }

    static constexpr std::size_t block_vecs = kv::block_tokens / lanes;
    using block_scales = std::array<vecf, 2 * block_vecs>;
    // The 32 scales, then the 32 minima of a block.
    static block_scales scales_at(const std::byte* p) noexcept {
        block_scales scales;
        for (std::size_t v = 0; v < scales.size(); ++v)
            scales[v] = load(reinterpret_cast<const f16*>(p) + v * lanes);
        return scales;
    }

    kv::block_layout layout_;  // of the tier that is passed over
    std::size_t group_size_, dim_, padded_, n_rows_ = 0, n_tokens_ = 0;
    float *queries_, *out_, *logits_, *tapped_;
    std::array<float, max_group_size> most_, sum_, rescale_, shift_, query_sum_;
};

#endif  // PARE_HAS_SIMD

}  // namespace pare::simd::inline PARE_ARCH_NAMESPACE

#endif  // PARE_KERNEL_SIMD_ATTENTION_PASS_HPP
