// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KERNEL_SIMD_ATTENTION_OUTPUTS_HPP
#define PARE_KERNEL_SIMD_ATTENTION_OUTPUTS_HPP

#include "attention_pass.hpp"

#if PARE_HAS_SIMD
namespace pare::simd::inline PARE_ARCH_NAMESPACE {

// The second half of attention_pass: probabilities, and their products with values.

// Logits become probabilities relative to the largest so far; for the tap `kept` gets a copy,
// (blocks, rows, 32), and that largest.
inline void attention_pass::to_probabilities(std::span<const kv_block> blocks,
                                             float* kept) noexcept {
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
        exp_or_zero(vecf::load_aligned(&before[r]) - load(&most_[r])).store_unaligned(&rescale_[r]);
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
        if (kept == nullptr) continue;
        PARE_UNROLL
        for (std::size_t v = 0; v < segment_vecs; ++v)
            load(row + v * lanes)
                .store_unaligned(kept + (v / block_vecs * n_rows_ + r) * kv::block_tokens +
                                 v % block_vecs * lanes);
        kept[n_rows_ * segment_tokens + r] = most_[r];
    }
    if (kv::has_scales(layout_.values)) return to_weights(blocks);
    for (std::size_t r = 0; tiers_differ_ && r < n_rows_; ++r) add_in_lanes(shifts_, r, vecf(0.0f));
}

// Probabilities become the weights of codes, p * scale; the minima add the same to all outputs.
inline void attention_pass::to_weights(std::span<const kv_block> blocks) noexcept {
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
            shift = fma(p, vecf::load_aligned(&value_scales_[segment_tokens + v * lanes]), shift);
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
inline void attention_pass::load_value_scales(std::span<const kv_block> blocks) noexcept {
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

inline void attention_pass::to_outputs(std::span<const kv_block> blocks) noexcept {
    kv::with_element(layout_.values, [&]<kv::element E>() {
        for (std::size_t r = 0; r < n_rows_; r += queries_at_once)
            if constexpr (in_integers(E)) add_codes<E>(blocks, r);
            else add_floats<E>(blocks, r);
    });
}

template <kv::element E>
void attention_pass::add_floats(std::span<const kv_block> blocks, std::size_t r) noexcept {
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
void attention_pass::add_codes([[maybe_unused]] std::span<const kv_block> blocks,
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

inline void attention_pass::store(matrix_view<float> out) const noexcept {
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
std::size_t attention_pass::add_scores(const kv::tier_rows& tier, std::size_t segment,
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
        prefetch(row->ahead, 0);  // its links: a pass later they have left the second level
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
                factor[r] *= sees_a_token(r) ? share * (is_max ? 1.0f : weight(r)) / sum_[r] : 0.0f;
        }
        for (std::size_t t = 0; t < kv::block_tokens; t += lanes) {
            float* const to = sums + t;
            vecf total = vecf(tap.carry) * vecf::load_unaligned(to);
            const float* p = kept + block * n_rows_ * kv::block_tokens + t;
            if (is_max) {
                for (std::size_t r = 0; r < n_rows_; r += group_size_) {
                    vecf most(0.0f);
                    for (std::size_t g = 0; g < group_size_; ++g)
                        most = xsimd::max(most,
                                          vecf(factor[r + g]) *
                                              vecf::load_unaligned(p + (r + g) * kv::block_tokens));
                    total = fma(vecf(weight(r)), most, total);
                }
            } else {
                for (std::size_t r = 0; r < n_rows_; ++r)
                    total =
                        fma(vecf(factor[r]), vecf::load_unaligned(p + r * kv::block_tokens), total);
            }
            total.store_unaligned(to);
        }
        if (++block == segment_blocks) block = 0, ++segment;
    }
    return block == 0 ? segment : segment + 1;
}
}  // namespace pare::simd::inline PARE_ARCH_NAMESPACE
#endif

#endif  // PARE_KERNEL_SIMD_ATTENTION_OUTPUTS_HPP
