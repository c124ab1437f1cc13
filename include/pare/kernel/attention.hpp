// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KERNEL_ATTENTION_HPP
#define PARE_KERNEL_ATTENTION_HPP

#include "../core/buffer.hpp"
#include "../core/executor.hpp"
#include "../core/status.hpp"
#include "../core/tensor_view.hpp"
#include "../kv/store.hpp"
#include "attention_pass.hpp"
#include "attention_reference.hpp"
#include "simd/exp.hpp"
#include "simd/kv_block.hpp"

#include <array>
#include <cmath>
#include <cstddef>
#include <span>

namespace pare::kernel::inline PARE_ARCH_NAMESPACE {

namespace detail {

/// Blocks whose logits are turned into probabilities together.
inline constexpr std::size_t segment_blocks = 4;
inline constexpr std::size_t segment_tokens = segment_blocks * kv::block_tokens;
/// Rows (one query, one query head) that pass over a head's blocks together, at least.
inline constexpr std::size_t pass_rows = 16;
/// What a token that a query does not see has for a logit: finite, for -ffast-math.
inline constexpr float unseen = -1e30f;
/// The largest logit where there is none yet; what lies below it weighs nothing.
inline constexpr float nothing_seen = unseen / 2;
inline constexpr std::size_t max_group_size = 256;

constexpr std::size_t rows_of(std::size_t group_size) noexcept {
    return group_size > pass_rows ? (group_size + 3) / 4 * 4 : pass_rows;
}

}  // namespace detail

/// Memory for attention(), made once and used by all layers: a part for every KV head, for heads
/// may run side by side; heads that run one after the other use the same part.
class attention_scratch {
  public:
    /// @param tokens  of one head at most
    /// @return invalid_argument for more than 256 query heads per KV head; out_of_memory
    static result<attention_scratch> make(const kv::shape& s, std::size_t tokens) noexcept {
        if (s.kv_heads == 0 || s.group_size() > detail::max_group_size)
            return error{errc::invalid_argument, "256 query heads per KV head at most"};
        attention_scratch made;
        made.shape_ = s;
        const std::size_t rows = detail::rows_of(s.group_size());
        const std::size_t segments =
            (tokens + detail::segment_tokens - 1) / detail::segment_tokens + 1;
        if (tokens >= std::size_t{1} << 32)
            return error{errc::invalid_argument, "positions have 32 bits", tokens};
        made.tokens_ = tokens;
        const std::size_t padded_dim = (s.head_dim + kv::group - 1) / kv::group * kv::group;
        // Queries, outputs, logits, probabilities of all tokens and the largest logits for the tap.
        made.floats_ = rows * (s.head_dim + padded_dim + detail::segment_tokens +
                               segments * (detail::segment_tokens + 1));
        auto floats = buffer<float>::make(made.floats_ * s.kv_heads);
        if (!floats) return floats.error();
        made.memory_ = std::move(*floats);
#if !PARE_HAS_SIMD
        made.doubles_ = s.group_size() * tokens + s.head_dim;
        auto doubles = buffer<double>::make(made.doubles_ * s.kv_heads);
        if (!doubles) return doubles.error();
        made.wide_ = std::move(*doubles);
#endif
        return made;
    }

    /// Whether heads of this shape and length may use it.
    bool fits(const kv::shape& s, std::size_t tokens) const noexcept {
        return tokens <= tokens_ && s.kv_heads == shape_.kv_heads &&
               s.query_heads == shape_.query_heads && s.head_dim == shape_.head_dim;
    }
    std::span<float> of_head(std::size_t kv_head) noexcept {
        return memory_.span().subspan(kv_head * floats_, floats_);
    }
#if !PARE_HAS_SIMD
    std::span<double> wide_of_head(std::size_t kv_head) noexcept {
        return wide_.span().subspan(kv_head * doubles_, doubles_);
    }
#endif

  private:
    kv::shape shape_;
    std::size_t tokens_ = 0, floats_ = 0;
    buffer<float> memory_;
#if !PARE_HAS_SIMD
    std::size_t doubles_ = 0;
    buffer<double> wide_;
#endif
};

namespace detail {

#if PARE_HAS_SIMD

/// One KV head's pass over a block of rows. Row r: query r / group_size of the block, its query
/// head r % group_size.
class attention_pass {
  public:
    attention_pass(const kv::block_layout& layout, std::size_t group_size, std::size_t max_rows,
                   std::span<float> memory) noexcept
        : layout_(layout), group_size_(group_size), dim_(layout.head_dim),
          padded_(layout.padded_dim()) {
        queries_ = memory.data();
        out_ = queries_ + max_rows * dim_;
        logits_ = out_ + max_rows * padded_;
        tapped_ = logits_ + max_rows * segment_tokens;
    }

    /// queries, out: this KV head's columns, (n, group_size * head_dim).
    void run(kv::ledger_row* first, matrix_view<const float> queries, matrix_view<float> out,
             std::size_t position, const score_tap& tap) noexcept {
        n_rows_ = queries.rows() * group_size_;
        load_queries(queries);
        most_.fill(nothing_seen);
        sum_.fill(0.0f);
        shift_.fill(0.0f);
        std::array<simd::kv_block, segment_blocks> blocks;
        std::array<const kv::ledger_row*, segment_blocks> ledger;
        std::size_t segment = 0;
        for (const kv::ledger_row* row = first; row != nullptr; ++segment) {
            std::size_t n = 0;
            for (; n < segment_blocks && row != nullptr; ++n, row = row->next) {
                ledger[n] = row;
                simd::prefetch(row->ahead, 0);
                blocks[n] = {row->block, row->size, row->block};
            }
            const kv::ledger_row* next = row;
            for (std::size_t b = 0; b < n && next != nullptr; ++b, next = next->next)
                blocks[b].ahead = next->block;
            compute_logits(std::span(blocks).first(n));
            hide(std::span(ledger).first(n), position);
            float* const kept =
                tap.weights.empty() ? nullptr : tapped_ + segment * n_rows_ * (segment_tokens + 1);
            to_probabilities(std::span(blocks).first(n), kept);
            add_values(std::span(blocks).first(n));
        }
        store(out);
        if (!tap.weights.empty()) add_scores(first, tap);
    }

  private:
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

    void compute_logits(std::span<const simd::kv_block> blocks) noexcept {
        constexpr std::size_t per_block = kv::block_tokens / kv::group;
        const std::size_t n_tiles = blocks.size() * per_block;
        std::array<const std::byte*, segment_blocks * per_block> tiles;
        for (std::size_t i = 0; i < tiles.size(); ++i) {
            const std::size_t tile = i < n_tiles ? i : n_tiles - 1;  // some wholes need filling up
            tiles[i] = blocks[tile / per_block].block + tile % per_block * layout_.tile_bytes();
        }
        simd::with_element(layout_.keys, [&]<kv::element E>() {
            for (std::size_t r = 0; r < n_rows_; r += simd::queries_at_once)
                for (std::size_t i = 0; i < n_tiles; i += simd::groups_at_once) {
                    std::array<const std::byte*, simd::groups_at_once> some;
                    for (std::size_t g = 0; g < some.size(); ++g) some[g] = tiles[i + g];
                    simd::dot_keys<E>(layout_, some, queries_ + r * dim_, dim_,
                                      logits_ + r * segment_tokens + i * kv::group, segment_tokens);
                }
        });
        if (!kv::has_scales(layout_.keys)) return;
        for (std::size_t b = 0; b < blocks.size(); ++b) {
            const auto scales = scales_at(blocks[b].block + layout_.key_scales_at());
            for (std::size_t r = 0; r < n_rows_; ++r) {
                float* const to = logits_ + r * segment_tokens + b * kv::block_tokens;
                for (std::size_t v = 0; v < block_vecs; ++v) {
                    const simd::vecf codes = simd::vecf::load_unaligned(to + v * simd::lanes);
                    simd::fma(codes, scales[v], simd::vecf(query_sum_[r]) * scales[block_vecs + v])
                        .store_unaligned(to + v * simd::lanes);
                }
            }
        }
    }

    // Hides the places that hold no token, and the tokens that come after a query.
    void hide(std::span<const kv::ledger_row* const> ledger, std::size_t position) noexcept {
        for (std::size_t b = 0; b < ledger.size(); ++b) {
            const kv::ledger_row& row = *ledger[b];
            for (std::size_t r = 0; r < n_rows_; ++r) {
                float* const to = logits_ + r * segment_tokens + b * kv::block_tokens;
                for (std::size_t t = row.size; t < kv::block_tokens; ++t) to[t] = unseen;
                const std::size_t mine = position + r / group_size_;
                if (row.newest <= mine) continue;
                for (std::size_t t = 0; t < row.size; ++t)
                    if (row.positions[t] > mine) to[t] = unseen;
            }
        }
        const std::size_t end = ledger.size() * kv::block_tokens;
        n_tokens_ = end;
    }

    // Logits become probabilities relative to the largest so far; `kept` gets a copy and that
    // largest, for the tap.
    void to_probabilities(std::span<const simd::kv_block> blocks, float* kept) noexcept {
        using simd::lanes, simd::vecf;
        for (std::size_t r = 0; r < n_rows_; ++r) {
            float* const row = logits_ + r * segment_tokens;
            vecf most(most_[r]);
            for (std::size_t t = 0; t < n_tokens_; t += lanes)
                most = xsimd::max(most, vecf::load_unaligned(row + t));
            alignas(64) std::array<float, lanes> each;
            most.store_aligned(each.data());
            float largest = each[0];
            for (const float x : each) largest = x > largest ? x : largest;
            simd::exp_or_zero(vecf(most_[r] - largest)).store_aligned(each.data());
            rescale_[r] = each[0];
            most_[r] = largest;
            vecf sum(0.0f);
            for (std::size_t t = 0; t < n_tokens_; t += lanes) {
                const vecf p = simd::exp_or_zero(vecf::load_unaligned(row + t) - vecf(largest));
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
                    shift = simd::fma(x, scales[block_vecs + v], shift);
                    (x * scales[v]).store_unaligned(p + v * lanes);
                }
                alignas(64) std::array<float, lanes> each;
                shift.store_aligned(each.data());
                for (const float x : each) shift_[r] += x;
            }
        }
    }

    void add_values(std::span<const simd::kv_block> blocks) noexcept {
        const std::size_t groups = padded_ / kv::group;
        simd::with_element(layout_.values, [&]<kv::element E>() {
            for (std::size_t r = 0; r < n_rows_; r += simd::queries_at_once) {
                const auto add = [&]<std::size_t Groups>(std::size_t g) {
                    simd::add_values<E, Groups>(layout_, blocks.data(), blocks.size(), g,
                                                logits_ + r * segment_tokens, segment_tokens,
                                                &rescale_[r], out_ + r * padded_, padded_);
                };
                std::size_t g = 0;
                for (; g + simd::groups_at_once <= groups; g += simd::groups_at_once)
                    add.template operator()<simd::groups_at_once>(g);
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

    void add_scores(kv::ledger_row* first, const score_tap& tap) noexcept {
        using simd::lanes, simd::vecf;
        const float share =
            tap.across == kv::reduction::mean ? 1.0f / static_cast<float>(group_size_) : 1.0f;
        const auto weight = [&](std::size_t row) { return tap.weights[row / group_size_]; };
        const bool is_max = tap.across == kv::reduction::max;  // which is taken before weighing
        std::size_t segment = 0, block = 0;
        alignas(64) std::array<float, max_group_size> factor;
        for (kv::ledger_row* row = first; row != nullptr; row = row->next) {
            const float* const kept = tapped_ + segment * n_rows_ * (segment_tokens + 1);
            simd::prefetch(row->ahead, 64);
            simd::prefetch(row->ahead, 128);
            if (block == 0) {
                const float* const largest = kept + n_rows_ * segment_tokens;
                for (std::size_t r = 0; r < n_rows_; r += lanes) {
                    alignas(64) std::array<float, lanes> below{};
                    for (std::size_t l = 0; l < lanes && r + l < n_rows_; ++l)
                        below[l] = largest[r + l] - most_[r + l];
                    simd::exp_or_zero(vecf::load_aligned(below.data())).store_aligned(&factor[r]);
                }
                for (std::size_t r = 0; r < n_rows_; ++r)
                    factor[r] *=
                        sees_a_token(r) ? share * (is_max ? 1.0f : weight(r)) / sum_[r] : 0.0f;
            }
            for (std::size_t t = 0; t < kv::block_tokens; t += lanes) {
                float* const to = row->attention.data() + t;
                vecf total = vecf(tap.carry) * vecf::load_unaligned(to);
                const float* p = kept + block * kv::block_tokens + t;
                if (is_max) {
                    for (std::size_t r = 0; r < n_rows_; r += group_size_) {
                        vecf most(0.0f);
                        for (std::size_t g = 0; g < group_size_; ++g)
                            most = xsimd::max(
                                most, vecf(factor[r + g]) *
                                          vecf::load_unaligned(p + (r + g) * segment_tokens));
                        total = simd::fma(vecf(weight(r)), most, total);
                    }
                } else {
                    for (std::size_t r = 0; r < n_rows_; ++r)
                        total = simd::fma(vecf(factor[r]),
                                          vecf::load_unaligned(p + r * segment_tokens), total);
                }
                total.store_unaligned(to);
            }
            if (++block == segment_blocks) block = 0, ++segment;
        }
    }

    static constexpr std::size_t block_vecs = kv::block_tokens / simd::lanes;
    using block_scales = std::array<simd::vecf, 2 * block_vecs>;
    // The 32 scales, then the 32 minima of a block.
    static block_scales scales_at(const std::byte* p) noexcept {
        block_scales scales;
        for (std::size_t v = 0; v < scales.size(); ++v)
            scales[v] = simd::load(reinterpret_cast<const f16*>(p) + v * simd::lanes);
        return scales;
    }

    const kv::block_layout& layout_;
    std::size_t group_size_, dim_, padded_, n_rows_ = 0, n_tokens_ = 0;
    float *queries_, *out_, *logits_, *tapped_;
    std::array<float, max_group_size> most_, sum_, rescale_, shift_, query_sum_;
};

#endif  // PARE_HAS_SIMD

}  // namespace detail

/// out = softmax(q k^T / sqrt(head_dim)) v of one layer. queries, out: (tokens, query_heads *
/// head_dim); query i stands at `position` + i and sees the kept tokens there and before; of a head
/// where it sees none it gets zeros. In the same pass every kept token's
/// ledger sum takes its probabilities, as `tap` says. Allocates nothing; the same bits for every
/// executor and thread count.
/// @return shape_mismatch; not_contiguous; buffer_too_small when a head has more tokens than
/// `memory` was made for, or the store another shape
template <executor Executor = serial>
status attention(kv::store& s, std::size_t sequence, std::size_t layer,
                 matrix_view<const float> queries, matrix_view<float> out, std::size_t position,
                 attention_scratch& memory, Executor&& run = {},
                 const score_tap& tap = {}) noexcept {
    const kv::shape& shape = s.shape();
    const std::size_t group_size = shape.group_size(), dim = shape.head_dim;
    if (queries.cols() != shape.query_heads * dim || queries.extents() != out.extents())
        return error{errc::shape_mismatch, "queries and out: (tokens, query_heads * head_dim)"};
    if (queries.col_stride() != 1 || out.col_stride() != 1)
        return error{errc::not_contiguous, "queries and out need consecutive columns"};
    if (!tap.weights.empty() && tap.weights.size() != queries.rows())
        return error{errc::shape_mismatch, "the tap has one weight per query"};
    if (sequence >= shape.sequences || layer >= shape.layers)
        return error{errc::invalid_argument, "no such sequence or layer"};
    std::size_t most = 1;
    for (std::size_t h = 0; h < shape.kv_heads; ++h) {
        const std::size_t n = s.view(sequence, layer, h).size;
        if (!memory.fits(shape, n))
            return error{errc::buffer_too_small, "a head outgrew the scratch, or its shape", h};
        most = n > most ? n : most;
    }
    // Waking a thread is worth some ten microseconds of work.
    const std::size_t grain = 1 + 131072 / (most * dim * group_size * (queries.rows() + 1));
    run.parallel_for(shape.kv_heads, grain, [&](std::size_t begin, std::size_t end) {
        for (std::size_t h = begin; h < end; ++h) {
            kv::ledger_row* const first = s.rows(sequence, layer, h);
#if PARE_HAS_SIMD
            const std::size_t at_once =
                group_size > detail::pass_rows ? 1 : detail::pass_rows / group_size;
            detail::attention_pass pass(s.layout(layer), group_size, detail::rows_of(group_size),
                                        memory.of_head(begin));
            const std::size_t first_col = h * group_size * dim;
            score_tap part = tap;
            for (std::size_t i = 0; i < queries.rows(); i += at_once) {
                const std::size_t n = queries.rows() - i < at_once ? queries.rows() - i : at_once;
                if (!tap.weights.empty()) part.weights = tap.weights.subspan(i, n);
                pass.run(first, queries.block(i, first_col, n, group_size * dim),
                         out.block(i, first_col, n, group_size * dim), position + i, part);
                part.carry = 1.0f;
            }
#else
            attention_ref(first, s.layout(layer), h * group_size, group_size, queries, out,
                          position, tap, memory.wide_of_head(begin),
                          memory.of_head(begin).first(dim));
#endif
        }
    });
    return {};
}

}  // namespace pare::kernel::inline PARE_ARCH_NAMESPACE

namespace pare {
using kernel::attention;
using kernel::attention_scratch;
using kernel::score_tap;
}  // namespace pare

#endif  // PARE_KERNEL_ATTENTION_HPP
