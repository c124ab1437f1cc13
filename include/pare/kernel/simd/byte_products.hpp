// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KERNEL_SIMD_BYTE_PRODUCTS_HPP
#define PARE_KERNEL_SIMD_BYTE_PRODUCTS_HPP

#include "code_dot.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

// Products of activations and codes, four bytes to a lane, and the choice of activations by index:
// the two instructions that integer kernels are made of.

#if PARE_HAS_SIMD
namespace pare::simd::inline PARE_ARCH_NAMESPACE {

/// What is added to an activation, -127 to 127, where the instruction wants it unsigned.
inline constexpr int activation_offset = PARE_HAS_CODE_DOT ? 128 : 0;

inline word_sums as_sums(veci x) noexcept {
    return reinterpret_cast<word_sums>(static_cast<veci::register_type>(x));
}
inline veci as_words(word_sums x) noexcept { return reinterpret_cast<veci::register_type>(x); }

/// sum + the four products of a lane's activations, the offset added, and signed codes. Exact.
PARE_ALWAYS_INLINE inline word_sums add_products(word_sums sum, veci activations,
                                                 veci codes) noexcept {
#if PARE_HAS_CODE_DOT
    return dot(sum, activations, codes);
#elif defined(__AVX512BW__)
    // 127 * 128 twice is less than 2^15.
    const __m512i negated = _mm512_mask_sub_epi8(activations, _mm512_movepi8_mask(codes),
                                                 _mm512_setzero_si512(), activations);
    const __m512i twos = _mm512_maddubs_epi16(_mm512_abs_epi8(codes), negated);
    return sum + reinterpret_cast<word_sums>(_mm512_madd_epi16(twos, _mm512_set1_epi16(1)));
#elif defined(__AVX2__) && !defined(__AVX512F__)
    const __m256i twos =
        _mm256_maddubs_epi16(_mm256_abs_epi8(codes), _mm256_sign_epi8(activations, codes));
    return sum + reinterpret_cast<word_sums>(_mm256_madd_epi16(twos, _mm256_set1_epi16(1)));
#elif defined(__SSE2__) && !defined(__AVX__)
    const auto even = [](__m128i x) { return _mm_srai_epi16(_mm_slli_epi16(x, 8), 8); };
    const auto odd = [](__m128i x) { return _mm_srai_epi16(x, 8); };
    const __m128i a = activations, c = codes;
    return sum + reinterpret_cast<word_sums>(_mm_madd_epi16(even(a), even(c))) +
           reinterpret_cast<word_sums>(_mm_madd_epi16(odd(a), odd(c)));
#elif defined(__aarch64__)
    const int8x16_t a = vreinterpretq_s8_u32(activations), c = vreinterpretq_s8_u32(codes);
#if defined(__ARM_FEATURE_DOTPROD)
    return vdotq_s32(sum, a, c);
#else
    const int16x8_t low = vmull_s8(vget_low_s8(a), vget_low_s8(c)), high = vmull_high_s8(a, c);
    return sum + vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high));
#endif
#else
    alignas(64) std::array<std::uint32_t, lanes> a, c;
    activations.store_aligned(a.data());
    codes.store_aligned(c.data());
    for (std::size_t l = 0; l < lanes; ++l)
        for (int b = 0; b < 32; b += 8)
            sum[l] += static_cast<std::int8_t>(a[l] >> b) * static_cast<std::int8_t>(c[l] >> b);
    return sum;
#endif
}

/// The same 16 bytes in every 128 bits.
PARE_ALWAYS_INLINE inline veci spread_sixteen(const std::byte* p) noexcept {
#if defined(__AVX512F__)
    return _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
#elif defined(__AVX__)
    return _mm256_castps_si256(_mm256_broadcast_ps(reinterpret_cast<const __m128*>(p)));
#else
    return veci::load_unaligned(reinterpret_cast<const std::uint32_t*>(p));
#endif
}

/// Every byte of the index, below 16, names a byte of the table in its own 128 bits.
PARE_ALWAYS_INLINE inline veci select_bytes(veci table, veci index) noexcept {
#if defined(__AVX512BW__)
    return _mm512_shuffle_epi8(table, index);
#elif defined(__AVX2__) && !defined(__AVX512F__)
    return _mm256_shuffle_epi8(table, index);
#elif defined(__SSSE3__) && !defined(__AVX__)
    return _mm_shuffle_epi8(table, index);
#elif defined(__aarch64__)
    return vreinterpretq_u32_u8(
        vqtbl1q_u8(vreinterpretq_u8_u32(table), vreinterpretq_u8_u32(index)));
#else
    alignas(64) std::array<std::uint8_t, 4 * lanes> from, at, to;
    table.store_aligned(reinterpret_cast<std::uint32_t*>(from.data()));
    index.store_aligned(reinterpret_cast<std::uint32_t*>(at.data()));
    for (std::size_t i = 0; i < to.size(); ++i) to[i] = from[i / 16 * 16 + at[i]];
    return veci::load_aligned(reinterpret_cast<const std::uint32_t*>(to.data()));
#endif
}

}  // namespace pare::simd::inline PARE_ARCH_NAMESPACE
#endif

#endif  // PARE_KERNEL_SIMD_BYTE_PRODUCTS_HPP
