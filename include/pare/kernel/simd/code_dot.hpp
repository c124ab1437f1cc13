// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KERNEL_SIMD_CODE_DOT_HPP
#define PARE_KERNEL_SIMD_CODE_DOT_HPP

#include "vec.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

/// 1 when the target multiplies unsigned with signed bytes and sums fours of them (VNNI, I8MM).
#if PARE_HAS_SIMD &&                                                               \
    (defined(__AVX512VNNI__) || (defined(__AVXVNNI__) && !defined(__AVX512F__)) || \
     defined(__ARM_FEATURE_MATMUL_INT8))
#define PARE_HAS_CODE_DOT 1
#else
#define PARE_HAS_CODE_DOT 0
#endif

#if PARE_HAS_SIMD
namespace pare::simd::inline PARE_ARCH_NAMESPACE {

/// 32-bit sums, typed: GCC copies registers at every step of a loop over untyped __m512i.
using word_sums [[gnu::vector_size(sizeof(veci))]] = std::int32_t;

/// The same four bytes in every lane.
inline veci spread_four(const std::byte* p) noexcept {
    std::uint32_t four;
    std::memcpy(&four, p, sizeof(four));
    return veci(four);
}

}  // namespace pare::simd::inline PARE_ARCH_NAMESPACE
#endif

#if PARE_HAS_CODE_DOT
namespace pare::simd::inline PARE_ARCH_NAMESPACE {

/// sum + the four products of a lane's unsigned codes and signed parts, for every lane.
inline word_sums dot(word_sums sum, veci codes, veci parts) noexcept {
#if defined(__AVX512VNNI__)
    return reinterpret_cast<word_sums>(
        _mm512_dpbusd_epi32(reinterpret_cast<__m512i>(sum), codes, parts));
#elif defined(__AVXVNNI__)
    return reinterpret_cast<word_sums>(
        _mm256_dpbusd_avx_epi32(reinterpret_cast<__m256i>(sum), codes, parts));
#else
    return vusdotq_s32(sum, vreinterpretq_u8_u32(codes), vreinterpretq_s8_u32(parts));
#endif
}

/// Sums as floats.
inline vecf to_floats(word_sums x) noexcept {
#if defined(__AVX512F__)
    return _mm512_cvtepi32_ps(reinterpret_cast<__m512i>(x));
#elif defined(__AVX__)
    return _mm256_cvtepi32_ps(reinterpret_cast<__m256i>(x));
#else
    return vcvtq_f32_s32(x);
#endif
}

/// What stands for floats in integer dot products with codes: x ~ step * n, n = 256 hi + lo of two
/// signed bytes, so |n| <= 127 * 256 + 127. An x is off by step / 2 = max |x| / 65278 at most.
inline constexpr float largest_in_parts = 32639.0f;
struct in_parts {
    float step, inverse;
};
inline in_parts parts_for(float largest) noexcept {
    if (!(largest > 1e-33f)) return {0.0f, 0.0f};  // the inverse stays finite
    return {largest / largest_in_parts, largest_in_parts / largest};
}

/// Parts of four rows lie together: [four numbers][row][hi, lo][4 bytes].
inline constexpr std::size_t rows_of_parts = 4;
inline constexpr std::size_t parts_stride = rows_of_parts * 2 * 4;

/// Stores the parts of `lanes` numbers of a row; `to` is its place in their first four.
/// @return what the parts leave out of each number
inline vecf store_parts(vecf x, in_parts scale, std::byte* to) noexcept {
    const veci n = nearest(x * vecf(scale.inverse));
    const veci high = (n + veci(128u)) >> 8;  // its low byte
#if defined(__AVX512F__)
    const __m128i hi = _mm512_cvtepi32_epi8(high), lo = _mm512_cvtepi32_epi8(n);
    const auto store_two = [&](std::byte* at, __m128i two) {
        _mm_storel_pd(reinterpret_cast<double*>(at), _mm_castsi128_pd(two));
        _mm_storeh_pd(reinterpret_cast<double*>(at + parts_stride), _mm_castsi128_pd(two));
    };
    store_two(to, _mm_unpacklo_epi32(hi, lo));
    store_two(to + 2 * parts_stride, _mm_unpackhi_epi32(hi, lo));
#else
    alignas(64) std::array<std::uint32_t, lanes> his, los;
    high.store_aligned(his.data());
    n.store_aligned(los.data());
    for (std::size_t l = 0; l < lanes; ++l) {
        to[l / 4 * parts_stride + l % 4] = static_cast<std::byte>(his[l]);
        to[l / 4 * parts_stride + 4 + l % 4] = static_cast<std::byte>(los[l]);
    }
#endif
    return fma(to_floats(n), vecf(-scale.step), x);
}

}  // namespace pare::simd::inline PARE_ARCH_NAMESPACE
#endif

#endif  // PARE_KERNEL_SIMD_CODE_DOT_HPP
