// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KERNEL_SIMD_ATTENTION_PASS_HPP
#define PARE_KERNEL_SIMD_ATTENTION_PASS_HPP

#include "../../core/tensor_view.hpp"
#include "../../kv/block.hpp"
#include "../../kv/ledger.hpp"
#include "../score_tap.hpp"
#include "exp.hpp"
#include "kv_block.hpp"
#include "kv_codes.hpp"

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

/// Floats of the memory that an attention_pass works in: queries, as they are and times a block's
/// scales, outputs, logits, for i8 and i4 the queries and the probabilities in parts of a byte, two
/// sums in lanes, the scales of a block's channels and, for the tap, the probabilities of all
/// tokens and the largest logit of each segment.
constexpr std::size_t pass_floats(std::size_t group_size, std::size_t head_dim,
                                  std::size_t tokens) noexcept {
    const std::size_t padded_dim = (head_dim + kv::group - 1) / kv::group * kv::group;
    const std::size_t segments = (tokens + segment_tokens - 1) / segment_tokens + kv::max_tiers;
    return pass_rows(group_size) *
               (4 * padded_dim + segment_tokens + (padded_dim + segment_tokens) / 2 +
                2 * kv::group + segments * (segment_tokens + 1)) +
           2 * padded_dim;
}

#if PARE_HAS_SIMD

/// One KV head's pass over a block of rows. Row r: query r / group_size of the block, its query
/// head r % group_size.
class attention_pass {
  public:
    /// @param memory  pass_floats() of them
    attention_pass(std::size_t head_dim, std::size_t group_size, std::span<float> memory) noexcept
        : group_size_(group_size), dim_(head_dim),
          padded_((head_dim + kv::group - 1) / kv::group * kv::group) {
        const std::size_t rows = pass_rows(group_size);
        queries_ = memory.data();
        out_ = queries_ + rows * padded_;
        logits_ = out_ + rows * padded_;
        float* const parts = logits_ + rows * segment_tokens;
        query_parts_ = reinterpret_cast<std::byte*>(parts);
        weight_parts_ = reinterpret_cast<std::byte*>(parts + rows * padded_ / 2);
        sums_ = parts + rows * (padded_ + segment_tokens) / 2;
        shifts_ = sums_ + rows * lanes;
        scaled_ = shifts_ + rows * lanes;
        key_scales_ = scaled_ + rows * padded_;
        gathered_ = key_scales_ + 2 * padded_;
        tapped_ = gathered_ + rows * padded_;
    }

    /// queries, out: this KV head's columns, (n, group_size * head_dim).
    void run(std::span<const kv::tier_rows> tiers, matrix_view<const float> queries,
             matrix_view<float> out, std::size_t position, const kernel::score_tap& tap) noexcept {
        start(tiers, queries);
        std::size_t segment = 0;
        for (const kv::tier_rows& tier : tiers)
            segment = pass_over(tier, segment, position, !tap.weights.empty(), true);
        finish();
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
        start(tiers, query);
        std::size_t segment = 0;
        for (const kv::tier_rows& tier : tiers)
            segment = pass_over(tier, segment, position, true, false);
        finish();
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
    static constexpr std::size_t block_vecs = kv::block_tokens / lanes;
    static constexpr std::size_t segment_vecs = segment_tokens / lanes;

    void start(std::span<const kv::tier_rows> tiers, matrix_view<const float> queries) noexcept {
        n_rows_ = queries.rows() * group_size_;
        use(*tiers[0].layout);  // tiers agree on the transform of queries and outputs
        load_queries(queries);
        most_.fill(nothing_seen);
    }
    void finish() noexcept {
        for (std::size_t r = 0; r < n_rows_; ++r) {
            sum_[r] = sum_of(load(sums_ + r * lanes));
            shift_[r] = sum_of(load(shifts_ + r * lanes));
        }
    }

    void use(const kv::block_layout& layout) noexcept {
        layout_ = layout;
        sizes_ = block_sizes(layout);
        key_scales_at_ = layout.key_scales_at();
        value_scales_at_ = layout.value_scales_at();
        scales_end_ = layout.ranges_at();
    }

    /// Goes on with the rows of a tier, whose segments are counted from `segment` on.
    std::size_t pass_over(const kv::tier_rows& tier, std::size_t segment, std::size_t position,
                          bool tapped, bool with_values) noexcept {
        use(*tier.layout);
        if (tier.first != nullptr) load_tier(tier.first->block + layout_.channels_at());
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

    // i8 and i4 in integers: queries and weights in two parts of a byte (code_dot.hpp). What those
    // leave out of a number, half a step at most, is multiplied with the middle code instead of
    // each token's. So, beside the roundings of floats,
    //   a logit is off by     head_dim * max |q| / 65278 * (token's range) / 2 at most,
    //   an output by          the sum over segments of 128 * max (p scale) / 65278 * levels / 2.
    static constexpr bool in_integers(kv::element e) noexcept {
        return PARE_HAS_CODE_DOT && kv::has_scales(e);
    }
    static float middle_of(kv::element e) noexcept {
        return static_cast<float>(kv::levels_of(e)) / 2.0f;
    }

    void load_queries(matrix_view<const float> queries) noexcept {
        const float scale = 1.0f / std::sqrt(static_cast<float>(dim_));
        const std::size_t padded_rows = (n_rows_ + 3) / 4 * 4, whole = dim_ / lanes * lanes;
        for (std::size_t r = 0; r < padded_rows; ++r) {
            float *const row = queries_ + r * padded_, *const out = out_ + r * padded_;
            for (std::size_t d = 0; d < padded_; d += lanes) {
                vecf(0.0f).store_unaligned(row + d);
                vecf(0.0f).store_unaligned(out + d);
            }
            if (r < n_rows_) {
                const float* const from = &queries(r / group_size_, r % group_size_ * dim_);
                for (std::size_t d = 0; d < whole; d += lanes)
                    (load(from + d) * vecf(scale)).store_unaligned(row + d);
                for (std::size_t d = whole; d < dim_; ++d) row[d] = from[d] * scale;
                if (layout_.hadamard) kv::hadamard(std::span(row, dim_));
            }
            vecf(0.0f).store_unaligned(sums_ + r * lanes);
            vecf(0.0f).store_unaligned(shifts_ + r * lanes);
            rescale_[r] = weight_step_[r] = 0.0f;
        }
    }

    // What the keys of a tier are multiplied with: all of the queries' channels, or those listed.
    void load_tier(const std::byte* channels) noexcept {
        tier_queries_ = layout_.key_channels == 0 ? queries_ : gathered_;
        for (std::size_t r = 0; r < (n_rows_ + 3) / 4 * 4; ++r) {
            const float* const from = queries_ + r * padded_;
            float* const row = tier_queries_ + r * padded_;
            if (layout_.key_channels != 0)
                for (std::size_t i = 0; i < padded_; ++i)
                    row[i] =
                        i < layout_.key_channels ? from[kv::detail::channel_at(channels, i)] : 0.0f;
            vecf total(0.0f);
            for (std::size_t d = 0; d < padded_; d += lanes) total = total + load(row + d);
            query_sum_[r] = sum_of(total);
            if (in_integers(layout_.keys) && !layout_.keys_per_channel) query_to_parts(r, row);
        }
    }

    void query_to_parts([[maybe_unused]] std::size_t r,
                        [[maybe_unused]] const float* row) noexcept {
#if PARE_HAS_CODE_DOT
        vecf largest(0.0f), left_out(0.0f);
        for (std::size_t d = 0; d < padded_; d += lanes)
            largest = xsimd::max(largest, xsimd::abs(load(row + d)));
        const in_parts scale = parts_for(largest_of(largest));
        for (std::size_t d = 0; d < padded_; d += lanes)
            left_out =
                left_out + store_parts(load(row + d), scale,
                                       parts_of(query_parts_, padded_, r) + d / 4 * parts_stride);
        query_step_[r] = scale.step;
        query_left_out_[r] = sum_of(left_out);
#endif
    }

    // The parts of a row among those of four rows, `n` numbers each.
    static std::byte* parts_of(std::byte* parts, std::size_t n, std::size_t r) noexcept {
        return parts + r / 4 * (n * 8) + r % 4 * 8;
    }

    void compute_logits(std::span<const kv_block> blocks) noexcept {
        for (const kv_block& b : blocks)  // the next blocks' scales lie behind what is asked for
            for (std::size_t at = key_scales_at_; at < scales_end_; at += 64) prefetch(b.ahead, at);
        kv::with_element(layout_.keys, [&]<kv::element E>() {
            if constexpr (kv::has_scales(E))
                if (layout_.keys_per_channel) return dot_channels<E>(blocks);
            if constexpr (in_integers(E)) dot_blocks<E>(blocks, logits_);
            else dot_tiles<E, groups_at_once>(blocks, tier_queries_, logits_);
        });
        if (!kv::has_scales(layout_.keys) || layout_.keys_per_channel) return;
        for (std::size_t b = 0; b < blocks.size(); ++b) {
            const auto scales = scales_at(blocks[b].block + key_scales_at_);
            for (std::size_t r = 0; r < n_rows_; ++r) {
                float* const to = logits_ + r * segment_tokens + b * kv::block_tokens;
                const bool parts = in_integers(layout_.keys);
                const vecf step(parts ? query_step_[r] : 1.0f);
                const vecf shift(parts ? middle_of(layout_.keys) * query_left_out_[r] : 0.0f);
                for (std::size_t v = 0; v < block_vecs; ++v) {
                    const vecf dot = fma(vecf::load_unaligned(to + v * lanes), step, shift);
                    fma(dot, scales[v], vecf(query_sum_[r]) * scales[block_vecs + v])
                        .store_unaligned(to + v * lanes);
                }
            }
        }
    }

    // Queries (rows of padded_) times the keys of blocks, in tiles of which some are taken at once.
    template <kv::element E, std::size_t AtOnce>
    void dot_tiles(std::span<const kv_block> blocks, const float* queries, float* logits) noexcept {
        constexpr std::size_t per_block = kv::block_tokens / kv::group;
        const std::size_t n_tiles = blocks.size() * per_block;
        std::array<const std::byte*, segment_blocks * per_block> tiles;
        for (std::size_t i = 0; i < tiles.size(); ++i) {
            const std::size_t tile = i < n_tiles ? i : n_tiles - 1;  // some wholes need filling up
            tiles[i] = blocks[tile / per_block].block + tile % per_block * sizes_.tile_bytes;
        }
        for (std::size_t r = 0; r < n_rows_; r += queries_at_once)
            for (std::size_t i = 0; i < n_tiles; i += AtOnce) {
                std::array<const std::byte*, AtOnce> some;
                for (std::size_t g = 0; g < some.size(); ++g) some[g] = tiles[i + g];
                dot_keys<E, AtOnce>(sizes_, some, queries + r * padded_, padded_,
                                    logits + r * segment_tokens + i * kv::group, segment_tokens);
            }
    }

    // The same with the parts of the queries.
    template <kv::element E>
    void dot_blocks([[maybe_unused]] std::span<const kv_block> blocks,
                    [[maybe_unused]] float* logits) noexcept {
#if PARE_HAS_CODE_DOT
        for (std::size_t r = 0; r < n_rows_; r += queries_at_once)
            for (std::size_t b = 0; b < blocks.size(); ++b)
                dot_key_codes<E>(sizes_, blocks[b].block, parts_of(query_parts_, padded_, r),
                                 logits + r * segment_tokens + b * kv::block_tokens,
                                 segment_tokens);
#endif
    }

    // The same where channels have scales: q . (scale * code + minimum) is (q * scale) . code and a
    // sum for the block, so queries are scaled, and put in parts, anew for every block.
    template <kv::element E>
    void dot_channels(std::span<const kv_block> blocks) noexcept {
        for (std::size_t b = 0; b < blocks.size(); ++b) {
            const auto* const scales =
                reinterpret_cast<const f16*>(blocks[b].block + key_scales_at_);
            for (std::size_t d = 0; d < 2 * padded_; d += lanes)
                load(scales + d).store_unaligned(key_scales_ + d);
            float* const logits = logits_ + b * kv::block_tokens;
            alignas(64) std::array<float, max_group_size> minima;
            for (std::size_t r = 0; r < n_rows_; ++r) {
                const float* const query = tier_queries_ + r * padded_;
                float* const scaled = scaled_ + r * padded_;
                vecf sum(0.0f);
                for (std::size_t d = 0; d < padded_; d += lanes) {
                    const vecf q = load(query + d);
                    (q * load(key_scales_ + d)).store_unaligned(scaled + d);
                    sum = fma(q, load(key_scales_ + padded_ + d), sum);
                }
                minima[r] = sum_of(sum);
                if (in_integers(E)) query_to_parts(r, scaled);
            }
            if constexpr (in_integers(E)) dot_blocks<E>(blocks.subspan(b, 1), logits);
            else dot_tiles<E, (groups_at_once > 1 ? 2 : 1)>(blocks.subspan(b, 1), scaled_, logits);
            for (std::size_t r = 0; r < n_rows_; ++r) {
                const vecf step(in_integers(E) ? query_step_[r] : 1.0f);
                const vecf shift(minima[r] +
                                 (in_integers(E) ? middle_of(E) * query_left_out_[r] : 0.0f));
                float* const to = logits + r * segment_tokens;
                for (std::size_t v = 0; v < block_vecs; ++v)
                    fma(load(to + v * lanes), step, shift).store_unaligned(to + v * lanes);
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
        n_tokens_ = seen.size() * kv::block_tokens;
    }

    // Logits become probabilities relative to the largest so far; `kept` gets a copy and that
    // largest, for the tap.
    void to_probabilities(std::span<const kv_block> blocks, float* kept) noexcept {
        alignas(64) std::array<float, max_group_size> before;
        for (std::size_t r = 0; r < n_rows_; r += lanes) load(&most_[r]).store_aligned(&before[r]);
        for (std::size_t r = 0; r < n_rows_; ++r) {
            float* const row = logits_ + r * segment_tokens;
            for (std::size_t t = n_tokens_; t < segment_tokens; ++t) row[t] = unseen;
            vecf most(most_[r]);
            for (std::size_t t = 0; t < segment_tokens; t += lanes)
                most = xsimd::max(most, load(row + t));
            most_[r] = largest_of(most);
        }
        for (std::size_t r = 0; r < n_rows_; r += lanes)
            exp_or_zero(vecf::load_aligned(&before[r]) - load(&most_[r]))
                .store_unaligned(&rescale_[r]);
        // One short loop after the other: a processor sees the next rows' work behind a row's
        // chain.
        for (std::size_t r = 0; r < n_rows_; ++r) {
            float* const row = logits_ + r * segment_tokens;
            vecf sum(0.0f);
            PARE_UNROLL
            for (std::size_t v = 0; v < segment_vecs; ++v) {
                const vecf p = exp_or_zero(load(row + v * lanes) - vecf(most_[r]));
                p.store_unaligned(row + v * lanes);
                sum = sum + p;
            }
            add_in_lanes(sums_, r, sum);
        }
        if (kept != nullptr)
            for (std::size_t r = 0; r < n_rows_; ++r) {
                const float* const row = logits_ + r * segment_tokens;
                for (std::size_t v = 0; v < segment_vecs; ++v)
                    load(row + v * lanes).store_unaligned(kept + r * segment_tokens + v * lanes);
                kept[n_rows_ * segment_tokens + r] = most_[r];
            }
        if (kv::has_scales(layout_.values)) to_weights(blocks);
    }

    // Sums over tokens grow in lanes, and are added up when the last segment is through.
    void add_in_lanes(float* sums, std::size_t r, vecf x) const noexcept {
        fma(load(sums + r * lanes), vecf(rescale_[r]), x).store_unaligned(sums + r * lanes);
    }

    // Probabilities become the weights of codes, p * scale; the minima add the same to all outputs.
    void to_weights(std::span<const kv_block> blocks) noexcept {
        load_value_scales(blocks);
        alignas(64) std::array<float, max_group_size> largest_weight;
        for (std::size_t r = 0; r < n_rows_; ++r) {
            float* const row = logits_ + r * segment_tokens;
            vecf shift(0.0f), largest(0.0f);
            PARE_UNROLL
            for (std::size_t v = 0; v < segment_vecs; ++v) {
                const vecf p = load(row + v * lanes);
                const vecf weight = p * vecf::load_aligned(&value_scales_[v * lanes]);
                weight.store_unaligned(row + v * lanes);
                largest = xsimd::max(largest, weight);
                shift =
                    fma(p, vecf::load_aligned(&value_scales_[segment_tokens + v * lanes]), shift);
            }
            largest_weight[r] = largest_of(largest);
            add_in_lanes(shifts_, r, shift);
        }
#if PARE_HAS_CODE_DOT
        for (std::size_t r = 0; r < n_rows_; ++r) {
            const float* const row = logits_ + r * segment_tokens;
            std::byte* const to = parts_of(weight_parts_, segment_tokens, r);
            const in_parts scale = parts_for(largest_weight[r]);
            vecf left_out(0.0f);
            PARE_UNROLL
            for (std::size_t v = 0; v < segment_vecs; ++v)
                left_out = left_out + store_parts(load(row + v * lanes), scale,
                                                  to + v * (lanes / 4 * parts_stride));
            weight_step_[r] = scale.step;
            float* const shift = shifts_ + r * lanes;
            fma(vecf(middle_of(layout_.values)), left_out, load(shift)).store_unaligned(shift);
        }
#endif
    }

    // The scales of a segment's values, then their minima.
    void load_value_scales(std::span<const kv_block> blocks) noexcept {
        for (std::size_t b = 0; b < segment_blocks; ++b) {
            block_scales scales;
            scales.fill(vecf(0.0f));
            if (b < blocks.size()) scales = scales_at(blocks[b].block + value_scales_at_);
            for (std::size_t v = 0; v < block_vecs; ++v) {
                const std::size_t at = b * kv::block_tokens + v * lanes;
                scales[v].store_aligned(&value_scales_[at]);
                scales[block_vecs + v].store_aligned(&value_scales_[segment_tokens + at]);
            }
        }
    }

    void to_outputs(std::span<const kv_block> blocks) noexcept {
        kv::with_element(layout_.values, [&]<kv::element E>() {
            for (std::size_t r = 0; r < n_rows_; r += queries_at_once)
                if constexpr (in_integers(E)) add_codes<E>(blocks, r);
                else add_floats<E>(blocks, r);
        });
    }

    template <kv::element E>
    void add_floats(std::span<const kv_block> blocks, std::size_t r) noexcept {
        const std::size_t groups = padded_ / kv::group;
        const auto add = [&]<std::size_t Groups>(std::size_t g) {
            add_values<E, Groups>(sizes_, blocks, g, logits_ + r * segment_tokens, segment_tokens,
                                  &rescale_[r], out_ + r * padded_, padded_);
        };
        std::size_t g = 0;
        for (; g + groups_at_once <= groups; g += groups_at_once)
            add.template operator()<groups_at_once>(g);
        for (; g < groups; ++g) add.template operator()<1>(g);
    }

    template <kv::element E>
    void add_codes([[maybe_unused]] std::span<const kv_block> blocks,
                   [[maybe_unused]] std::size_t r) noexcept {
#if PARE_HAS_CODE_DOT
        const auto add = [&]<std::size_t Vecs>(std::size_t channel) {
            add_value_codes<E, Vecs>(sizes_, blocks, channel,
                                     parts_of(weight_parts_, segment_tokens, r), &rescale_[r],
                                     &weight_step_[r], out_ + r * padded_, padded_);
        };
        constexpr std::size_t at_once = code_vecs_at_once * lanes;
        std::size_t c = 0;
        for (; c + at_once <= padded_; c += at_once) add.template operator()<code_vecs_at_once>(c);
        for (; c < padded_; c += lanes) add.template operator()<1>(c);
#endif
    }

    bool sees_a_token(std::size_t row) const noexcept { return most_[row] > nothing_seen; }

    void store(matrix_view<float> out) const noexcept {
        const std::size_t whole = dim_ / lanes * lanes;
        for (std::size_t r = 0; r < n_rows_; ++r) {
            const bool any = sees_a_token(r);
            const float shift = any ? shift_[r] : 0.0f, sum = any ? sum_[r] : 1.0f;
            float* const from = out_ + r * padded_;
            float* const to = &out(r / group_size_, r % group_size_ * dim_);
            for (std::size_t d = 0; d < padded_; d += lanes)
                ((load(from + d) + vecf(shift)) / vecf(sum)).store_unaligned(from + d);
            if (!any)  // what it added up are weights of tokens that it does not see
                for (std::size_t d = 0; d < dim_; ++d) from[d] = 0.0f;
            else if (layout_.hadamard) kv::hadamard(std::span(from, dim_));
            for (std::size_t d = 0; d < whole; d += lanes) load(from + d).store_unaligned(to + d);
            for (std::size_t d = whole; d < dim_; ++d) to[d] = from[d];
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

    using block_scales = std::array<vecf, 2 * block_vecs>;
    // The 32 scales, then the 32 minima of a block.
    static block_scales scales_at(const std::byte* p) noexcept {
        block_scales scales;
        for (std::size_t v = 0; v < scales.size(); ++v)
            scales[v] = load(reinterpret_cast<const f16*>(p) + v * lanes);
        return scales;
    }

    kv::block_layout layout_;  // of the tier that is passed over
    block_sizes sizes_{layout_};
    std::size_t group_size_, dim_, padded_, key_scales_at_ = 0, value_scales_at_ = 0,
                                            scales_end_ = 0;
    std::size_t n_rows_ = 0, n_tokens_ = 0;
    float *queries_, *out_, *logits_, *sums_, *shifts_, *scaled_, *key_scales_, *gathered_,
        *tapped_;
    float* tier_queries_ = nullptr;
    std::byte *query_parts_, *weight_parts_;
    std::array<float, max_group_size> most_, sum_, rescale_, shift_, query_sum_;
    std::array<float, max_group_size> query_step_, query_left_out_, weight_step_;
    alignas(64) std::array<float, 2 * segment_tokens> value_scales_;
};

#endif  // PARE_HAS_SIMD

}  // namespace pare::simd::inline PARE_ARCH_NAMESPACE

#endif  // PARE_KERNEL_SIMD_ATTENTION_PASS_HPP
