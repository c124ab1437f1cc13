// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KERNEL_SIMD_ATTENTION_PASS_HPP
#define PARE_KERNEL_SIMD_ATTENTION_PASS_HPP

#include "../../core/tensor_view.hpp"
#include "../../kv/block.hpp"
#include "../../kv/ledger.hpp"
#include "../../kv/shape.hpp"
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
        tiers_differ_ = tiers.size() > 1;
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
    //     by channel          head_dim * max (|q| channel's range) / 65278 / 2,
    //   an output by          the sum over segments of 128 * max (p token's range) / 65278 / 2.
    static constexpr bool in_integers(kv::element e) noexcept {
        return PARE_HAS_CODE_DOT && kv::has_scales(e);
    }
    static float middle_of(kv::element e) noexcept {
        return static_cast<float>(kv::levels_of(e)) / 2.0f;
    }

    void load_queries(matrix_view<const float> queries) noexcept;

    void load_tier(const std::byte* channels) noexcept;

    void query_to_parts(std::size_t r, const float* row) noexcept;

    // The parts of a row among those of four rows, `n` numbers each.
    static std::byte* parts_of(std::byte* parts, std::size_t n, std::size_t r) noexcept {
        return parts + r / 4 * (n * 8) + r % 4 * 8;
    }

    void compute_logits(std::span<const kv_block> blocks) noexcept;

    template <kv::element E, std::size_t AtOnce>
    void dot_tiles(std::span<const kv_block> blocks, const float* queries, float* logits) noexcept;

    template <kv::element E>
    void dot_blocks(std::span<const kv_block> blocks, float* logits) noexcept;

    template <kv::element E>
    void dot_channels(std::span<const kv_block> blocks) noexcept;

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

    void to_probabilities(std::span<const kv_block> blocks, float* kept) noexcept;

    // Sums over tokens grow in lanes, and are added up when the last segment is through.
    void add_in_lanes(float* sums, std::size_t r, vecf x) const noexcept {
        fma(load(sums + r * lanes), vecf(rescale_[r]), x).store_unaligned(sums + r * lanes);
    }

    void to_weights(std::span<const kv_block> blocks) noexcept;

    void load_value_scales(std::span<const kv_block> blocks) noexcept;

    void to_outputs(std::span<const kv_block> blocks) noexcept;

    template <kv::element E>
    void add_floats(std::span<const kv_block> blocks, std::size_t r) noexcept;

    template <kv::element E>
    void add_codes(std::span<const kv_block> blocks, std::size_t r) noexcept;

    bool sees_a_token(std::size_t row) const noexcept { return most_[row] > nothing_seen; }

    void store(matrix_view<float> out) const noexcept;

    std::size_t add_scores(const kv::tier_rows& tier, std::size_t segment,
                           const kernel::score_tap& tap, auto&& sums_of) noexcept;

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
    bool tiers_differ_ = false;
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

// Its longer members.
#include "attention_logits.hpp"
#include "attention_outputs.hpp"

#endif  // PARE_KERNEL_SIMD_ATTENTION_PASS_HPP
