// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KERNEL_SIMD_KV_BLOCK_HPP
#define PARE_KERNEL_SIMD_KV_BLOCK_HPP

#include "../../kv/block_layout.hpp"
#include "vec.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#if PARE_HAS_SIMD
namespace pare::simd::inline PARE_ARCH_NAMESPACE {

/// Vectors of a group of 16 numbers.
inline constexpr std::size_t group_vecs = kv::group / lanes;
using group_of_floats = std::array<vecf, group_vecs>;

/// Groups whose sums stay in registers together, for four queries.
inline constexpr std::size_t groups_at_once = lanes == 16 ? 4 : 1;
inline constexpr std::size_t queries_at_once = 4;

namespace detail {

#if !defined(__AVX2__) && (!defined(__SSE4_1__) || defined(__AVX__))
inline vecf from_bytes(const std::uint8_t* p) noexcept {
#if defined(__aarch64__)
    std::uint32_t four;
    std::memcpy(&four, p, sizeof(four));
    const uint16x8_t wide = vmovl_u8(vcreate_u8(four));
    return vcvtq_f32_u32(vmovl_u16(vget_low_u16(wide)));
#else
    alignas(64) std::array<float, lanes> wide;
    for (std::size_t l = 0; l < lanes; ++l) wide[l] = static_cast<float>(p[l]);
    return vecf::load_aligned(wide.data());
#endif
}
#endif

// 16 bytes as floats.
inline group_of_floats widen(const std::uint8_t* p) noexcept {
#if defined(__AVX512F__)
    const __m128i codes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return {vecf(_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(codes)))};
#elif defined(__AVX2__)
    group_of_floats wide;
    for (std::size_t v = 0; v < group_vecs; ++v) {
        const __m128i codes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p + v * lanes));
        wide[v] = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(codes));
    }
    return wide;
#elif defined(__SSE4_1__) && !defined(__AVX__)
    group_of_floats wide;
    for (std::size_t v = 0; v < group_vecs; ++v) {
        int four;
        std::memcpy(&four, p + v * lanes, sizeof(four));
        wide[v] = _mm_cvtepi32_ps(_mm_cvtepu8_epi32(_mm_cvtsi32_si128(four)));
    }
    return wide;
#else
    group_of_floats wide;
    for (std::size_t v = 0; v < group_vecs; ++v) wide[v] = from_bytes(p + v * lanes);
    return wide;
#endif
}

}  // namespace detail

/// A stored group as floats: the numbers themselves, of i8 and i4 the codes.
template <kv::element E>
group_of_floats load_group(const std::byte* p) noexcept {
    if constexpr (E == kv::element::i8) {
        return detail::widen(reinterpret_cast<const std::uint8_t*>(p));
    } else if constexpr (E == kv::element::i4) {
#if defined(__SSE2__)
        const __m128i pairs = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
        const __m128i nibbles = _mm_set1_epi8(0x0f);
        const __m128i codes = _mm_unpacklo_epi64(_mm_and_si128(pairs, nibbles),
                                                 _mm_and_si128(_mm_srli_epi16(pairs, 4), nibbles));
#if defined(__AVX512F__)
        return {vecf(_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(codes)))};
#else
        alignas(16) std::array<std::uint8_t, kv::group> bytes;
        _mm_store_si128(reinterpret_cast<__m128i*>(bytes.data()), codes);
        return detail::widen(bytes.data());
#endif
#else
        std::array<std::uint8_t, kv::group> bytes;
        for (std::size_t b = 0; b < kv::group / 2; ++b) {
            const auto pair = static_cast<std::uint8_t>(p[b]);
            bytes[b] = pair & 0xf;
            bytes[b + kv::group / 2] = static_cast<std::uint8_t>(pair >> 4);
        }
        return detail::widen(bytes.data());
#endif
    } else {
        using T = std::conditional_t<E == kv::element::f32, float,
                                     std::conditional_t<E == kv::element::f16, f16, bf16>>;
        group_of_floats wide;
        for (std::size_t v = 0; v < group_vecs; ++v)
            wide[v] = load(reinterpret_cast<const T*>(p) + v * lanes);
        return wide;
    }
}

/// Where 32 tokens of a head lie, and what will be read after them.
struct kv_block {
    const std::byte* block;
    std::size_t size;  ///< tokens
    const std::byte* ahead;
};

/// logits[q * stride + t] = query q . key t for four queries (head_dim each, q_stride apart) and
/// the tokens of groups_at_once tiles, two of each block. Asks for the values meanwhile, a line's
/// worth for each line: they are read next, and lie behind the keys.
template <kv::element E>
void dot_keys(const kv::block_layout& layout, std::array<const std::byte*, groups_at_once> tiles,
              const float* queries, std::size_t q_stride, float* logits,
              std::size_t stride) noexcept {
    constexpr std::size_t bytes = kv::block_layout::group_bytes(E);
    std::array<std::array<group_of_floats, groups_at_once>, queries_at_once> sum;
    PARE_UNROLL
    for (std::size_t q = 0; q < queries_at_once; ++q) PARE_UNROLL
    for (std::size_t g = 0; g < groups_at_once; ++g) PARE_UNROLL
    for (std::size_t v = 0; v < group_vecs; ++v) sum[q][g][v] = vecf(0.0f);
    constexpr std::size_t per_line = bytes < 64 ? 64 / bytes : 1;
    const std::size_t values_at = layout.values_at();
    for (std::size_t d = 0; d < layout.head_dim; ++d) {
        if (d % per_line == 0) PARE_UNROLL
        for (std::size_t g = 0; g < groups_at_once; ++g) prefetch(tiles[g] + d * bytes, values_at);
        std::array<group_of_floats, groups_at_once> key;
        PARE_UNROLL
        for (std::size_t g = 0; g < groups_at_once; ++g)
            key[g] = load_group<E>(tiles[g] + d * bytes);
        PARE_UNROLL
        for (std::size_t q = 0; q < queries_at_once; ++q) {
            const vecf x(queries[q * q_stride + d]);
            PARE_UNROLL
            for (std::size_t g = 0; g < groups_at_once; ++g) PARE_UNROLL
            for (std::size_t v = 0; v < group_vecs; ++v)
                sum[q][g][v] = fma(x, key[g][v], sum[q][g][v]);
        }
    }
    PARE_UNROLL
    for (std::size_t q = 0; q < queries_at_once; ++q) PARE_UNROLL
    for (std::size_t g = 0; g < groups_at_once; ++g) PARE_UNROLL
    for (std::size_t v = 0; v < group_vecs; ++v)
        sum[q][g][v].store_unaligned(logits + q * stride + g * kv::group + v * lanes);
}

/// out[q * out_stride + c] = rescale[q] * out[...] + sum of p[q * p_stride + 32 b + t] * value t of
/// block b, for four queries and the channels of Groups groups from `first_group` on.
template <kv::element E, std::size_t Groups>
void add_values(const kv::block_layout& layout, const kv_block* blocks, std::size_t n_blocks,
                std::size_t first_group, const float* p, std::size_t p_stride, const float* rescale,
                float* out, std::size_t out_stride) noexcept {
    constexpr std::size_t bytes = kv::block_layout::group_bytes(E);
    const std::size_t token_bytes = layout.value_bytes();
    out += first_group * kv::group;
    std::array<std::array<group_of_floats, Groups>, queries_at_once> sum;
    PARE_UNROLL
    for (std::size_t q = 0; q < queries_at_once; ++q) PARE_UNROLL
    for (std::size_t g = 0; g < Groups; ++g) PARE_UNROLL
    for (std::size_t v = 0; v < group_vecs; ++v)
        sum[q][g][v] = vecf(rescale[q]) *
                       vecf::load_unaligned(out + q * out_stride + g * kv::group + v * lanes);
    for (std::size_t b = 0; b < n_blocks; ++b) {
        const std::byte* value = blocks[b].block + layout.values_at() + first_group * bytes;
        const std::byte* ahead = blocks[b].ahead + first_group * bytes;
        const float* weight = p + b * kv::block_tokens;
        for (std::size_t t = 0; t < blocks[b].size;
             ++t, value += token_bytes, ahead += token_bytes, ++weight) {
            PARE_UNROLL
            for (std::size_t line = 0; line < Groups * bytes; line += 64) prefetch(ahead, line);
            std::array<group_of_floats, Groups> x;
            PARE_UNROLL
            for (std::size_t g = 0; g < Groups; ++g) x[g] = load_group<E>(value + g * bytes);
            PARE_UNROLL
            for (std::size_t q = 0; q < queries_at_once; ++q) {
                const vecf w(weight[q * p_stride]);
                PARE_UNROLL
                for (std::size_t g = 0; g < Groups; ++g) PARE_UNROLL
                for (std::size_t v = 0; v < group_vecs; ++v)
                    sum[q][g][v] = fma(w, x[g][v], sum[q][g][v]);
            }
        }
    }
    PARE_UNROLL
    for (std::size_t q = 0; q < queries_at_once; ++q) PARE_UNROLL
    for (std::size_t g = 0; g < Groups; ++g) PARE_UNROLL
    for (std::size_t v = 0; v < group_vecs; ++v)
        sum[q][g][v].store_unaligned(out + q * out_stride + g * kv::group + v * lanes);
}

/// Calls visit.operator()<E>() for the element's type.
inline void with_element(kv::element e, auto&& visit) noexcept {
    switch (e) {
        case kv::element::f32:
            return visit.template operator()<kv::element::f32>();
        case kv::element::f16:
            return visit.template operator()<kv::element::f16>();
        case kv::element::bf16:
            return visit.template operator()<kv::element::bf16>();
        case kv::element::i8:
            return visit.template operator()<kv::element::i8>();
        case kv::element::i4:
            return visit.template operator()<kv::element::i4>();
    }
}

}  // namespace pare::simd::inline PARE_ARCH_NAMESPACE
#endif

#endif  // PARE_KERNEL_SIMD_KV_BLOCK_HPP
