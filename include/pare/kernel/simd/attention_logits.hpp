// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KERNEL_SIMD_ATTENTION_LOGITS_HPP
#define PARE_KERNEL_SIMD_ATTENTION_LOGITS_HPP

#include "attention_pass.hpp"

#if PARE_HAS_SIMD
namespace pare::simd::inline PARE_ARCH_NAMESPACE {

// The first half of attention_pass: queries, and their products with keys.

inline void attention_pass::load_queries(matrix_view<const float> queries) noexcept {
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
inline void attention_pass::load_tier(const std::byte* channels) noexcept {
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

inline void attention_pass::query_to_parts([[maybe_unused]] std::size_t r,
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

inline void attention_pass::compute_logits(std::span<const kv_block> blocks) noexcept {
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
void attention_pass::dot_tiles(std::span<const kv_block> blocks, const float* queries,
                               float* logits) noexcept {
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
void attention_pass::dot_blocks([[maybe_unused]] std::span<const kv_block> blocks,
                                [[maybe_unused]] float* logits) noexcept {
#if PARE_HAS_CODE_DOT
    for (std::size_t r = 0; r < n_rows_; r += queries_at_once)
        for (std::size_t b = 0; b < blocks.size(); ++b)
            dot_key_codes<E>(sizes_, blocks[b].block, parts_of(query_parts_, padded_, r),
                             logits + r * segment_tokens + b * kv::block_tokens, segment_tokens);
#endif
}

// The same where channels have scales: q . (scale * code + minimum) is (q * scale) . code and a
// sum for the block, so queries are scaled, and put in parts, anew for every block.
template <kv::element E>
void attention_pass::dot_channels(std::span<const kv_block> blocks) noexcept {
    for (std::size_t b = 0; b < blocks.size(); ++b) {
        const auto* const scales = reinterpret_cast<const f16*>(blocks[b].block + key_scales_at_);
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
}  // namespace pare::simd::inline PARE_ARCH_NAMESPACE
#endif

#endif  // PARE_KERNEL_SIMD_ATTENTION_LOGITS_HPP
