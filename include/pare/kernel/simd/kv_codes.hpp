// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KERNEL_SIMD_KV_CODES_HPP
#define PARE_KERNEL_SIMD_KV_CODES_HPP

#include "code_dot.hpp"
#include "kv_block.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#if PARE_HAS_CODE_DOT
namespace pare::simd::inline PARE_ARCH_NAMESPACE {

/// Vectors of lanes whose sums, for four queries in two parts, fill half of the registers.
inline constexpr std::size_t code_vecs_at_once = vector_registers / 16;

namespace detail {

template <std::size_t Vecs>
using code_sums = std::array<std::array<std::array<word_sums, Vecs>, 2>, rows_of_parts>;

// Adds the products of four codes of every lane with the parts of four numbers.
template <std::size_t Vecs>
PARE_ALWAYS_INLINE inline void add_four(code_sums<Vecs>& sum, const std::array<veci, Vecs>& codes,
                                        const std::byte* parts) noexcept {
    PARE_UNROLL
    for (std::size_t q = 0; q < rows_of_parts; ++q) PARE_UNROLL
    for (std::size_t part = 0; part < 2; ++part) {
        const veci four = spread_four(parts + (q * 2 + part) * 4);
        PARE_UNROLL
        for (std::size_t v = 0; v < Vecs; ++v)
            sum[q][part][v] = dot(sum[q][part][v], codes[v], four);
    }
}

// The same for a group's codes, a vector of lanes from each of `at`.
template <kv::element E, std::size_t Vecs>
PARE_ALWAYS_INLINE inline void add_dots(code_sums<Vecs>& sum,
                                        const std::array<const std::byte*, Vecs>& at,
                                        const std::byte* parts) noexcept {
    std::array<veci, Vecs> words;
    PARE_UNROLL
    for (std::size_t v = 0; v < Vecs; ++v)
        words[v] = veci::load_unaligned(reinterpret_cast<const std::uint32_t*>(at[v]));
    if constexpr (E == kv::element::i4) {
        const veci low_halves(0x0f0f0f0fu);
        std::array<veci, Vecs> codes;
        PARE_UNROLL
        for (std::size_t v = 0; v < Vecs; ++v) codes[v] = words[v] & low_halves;
        add_four(sum, codes, parts);
        PARE_UNROLL
        for (std::size_t v = 0; v < Vecs; ++v) codes[v] = (words[v] >> 4) & low_halves;
        add_four(sum, codes, parts + parts_stride);
    } else {
        add_four(sum, words, parts);
    }
}

template <std::size_t Vecs>
PARE_ALWAYS_INLINE inline void clear(code_sums<Vecs>& sum) noexcept {
    PARE_UNROLL
    for (std::size_t q = 0; q < rows_of_parts; ++q) PARE_UNROLL
    for (std::size_t part = 0; part < 2; ++part) PARE_UNROLL
    for (std::size_t v = 0; v < Vecs; ++v) sum[q][part][v] = word_sums{};
}

// 256 hi + lo, which an integer may not hold.
inline vecf both(word_sums hi, word_sums lo) noexcept {
    return fma(to_floats(hi), vecf(256.0f), to_floats(lo));
}

}  // namespace detail

/// logits[q * stride + t] = sum over channels of n * code, for the 32 tokens of a block and four
/// queries in parts (whole groups of channels). Asks for the values meanwhile.
template <kv::element E>
void dot_key_codes(const block_sizes& sizes, const std::byte* block, const std::byte* parts,
                   float* logits, std::size_t stride) noexcept {
    constexpr std::size_t bytes = kv::block_layout::group_bytes(E), vecs = code_vecs_at_once;
    const std::size_t values_at = sizes.values_at, n_groups = sizes.key_groups;
    for (std::size_t t = 0; t < kv::block_tokens; t += vecs * lanes) {
        std::array<const std::byte*, vecs> at;
        PARE_UNROLL
        for (std::size_t v = 0; v < vecs; ++v) {
            const std::size_t token = t + v * lanes;
            at[v] = block + token / kv::group * sizes.tile_bytes + token % kv::group * 4;
        }
        detail::code_sums<vecs> sum;
        detail::clear(sum);
        const std::byte* part = parts;
        for (std::size_t g = 0; g < n_groups; ++g, part += kv::depth_of(E) / 4 * parts_stride) {
            PARE_UNROLL
            for (std::size_t v = 0; v < vecs; ++v) prefetch(at[v], values_at);
            detail::add_dots<E>(sum, at, part);
            PARE_UNROLL
            for (std::size_t v = 0; v < vecs; ++v) at[v] += bytes;
        }
        PARE_UNROLL
        for (std::size_t q = 0; q < rows_of_parts; ++q) PARE_UNROLL
        for (std::size_t v = 0; v < vecs; ++v)
            detail::both(sum[q][0][v], sum[q][1][v])
                .store_unaligned(logits + q * stride + t + v * lanes);
    }
}

/// out[q * out_stride + c] = rescale[q] * out[...] + step[q] * sum of n * code over the tokens of
/// some blocks, for four queries with their weights in parts and the channels of Vecs vectors from
/// `channel` on. Beyond the tokens of a block the parts are 0. At most 2^16 tokens.
template <kv::element E, std::size_t Vecs>
void add_value_codes(const block_sizes& sizes, std::span<const kv_block> blocks,
                     std::size_t channel, const std::byte* parts, const float* rescale,
                     const float* step, float* out, std::size_t out_stride) noexcept {
    constexpr std::size_t depth = kv::depth_of(E), per_block = kv::block_tokens / 4 * parts_stride;
    constexpr std::size_t chunk = kv::block_tokens / depth * 4;  // of a block's channel
    const std::size_t row_bytes = sizes.value_row_bytes;
    detail::code_sums<Vecs> sum;
    detail::clear(sum);
    for (std::size_t b = 0; b < blocks.size(); ++b) {
        std::array<const std::byte*, Vecs> at;
        PARE_UNROLL
        for (std::size_t v = 0; v < Vecs; ++v)
            at[v] = blocks[b].block + sizes.values_at + (channel + v * lanes) * 4;
        const std::byte* ahead = keys_ahead(blocks, sizes.values_at,
                                            (channel * blocks.size() + b * Vecs * lanes) * chunk);
        const std::byte* part = parts + b * per_block;
        for (std::size_t t = 0; t < blocks[b].size; t += depth, part += depth / 4 * parts_stride) {
            PARE_UNROLL
            for (std::size_t v = 0; v < Vecs; ++v) prefetch(ahead, v * lanes * 4);
            detail::add_dots<E>(sum, at, part);
            PARE_UNROLL
            for (std::size_t v = 0; v < Vecs; ++v) at[v] += row_bytes;
            ahead += Vecs * lanes * 4;
        }
    }
    PARE_UNROLL
    for (std::size_t q = 0; q < rows_of_parts; ++q) PARE_UNROLL
    for (std::size_t v = 0; v < Vecs; ++v) {
        float* const to = out + q * out_stride + channel + v * lanes;
        const vecf before = vecf(rescale[q]) * vecf::load_unaligned(to);
        fma(vecf(step[q]), detail::both(sum[q][0][v], sum[q][1][v]), before).store_unaligned(to);
    }
}

}  // namespace pare::simd::inline PARE_ARCH_NAMESPACE
#endif

#endif  // PARE_KERNEL_SIMD_KV_CODES_HPP
