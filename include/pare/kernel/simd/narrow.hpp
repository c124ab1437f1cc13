// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KERNEL_SIMD_NARROW_HPP
#define PARE_KERNEL_SIMD_NARROW_HPP

#include "vec.hpp"

#include <array>
#include <cstddef>
#include <type_traits>

#if PARE_HAS_SIMD
namespace pare::simd::inline PARE_ARCH_NAMESPACE {

/// The widest vector that N floats fill, N of 4, 8, 16, 32.
template <std::size_t N>
using narrow = xsimd::make_sized_batch_t<float, (N < lanes ? N : lanes)>;

/// a * b + c, rounded once where the machine can.
template <std::size_t N>
narrow<N> fma_narrow(narrow<N> a, narrow<N> b, narrow<N> c) noexcept {
    if constexpr (N >= lanes) return fma(a, b, c);
#if defined(__FMA__)
    else if constexpr (N == 8) return _mm256_fmadd_ps(a, b, c);
    else return _mm_fmadd_ps(a, b, c);
#else
    else return a * b + c;
#endif
}

/// As many stored weights as narrow<N> holds, as floats; nothing beyond them is read.
template <std::size_t N, class T>
narrow<N> load_narrow(const T* p) noexcept {
    if constexpr (N >= lanes) return load(p);
    else if constexpr (std::is_same_v<T, float>) return narrow<N>::load_unaligned(p);
#if defined(__AVX512F__)
    else if constexpr (N == 8) {
        const __m128i half = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
        if constexpr (std::is_same_v<T, f16>) return _mm256_cvtph_ps(half);
        else return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
    }
#endif
#if defined(__AVX__) && defined(__F16C__)
    else if constexpr (N == 4) {
        const __m128i half = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
        if constexpr (std::is_same_v<T, f16>) return _mm_cvtph_ps(half);
        else return _mm_castsi128_ps(_mm_slli_epi32(_mm_cvtepu16_epi32(half), 16));
    }
#endif
    else {
        alignas(64) std::array<float, N> wide;
        for (std::size_t l = 0; l < N; ++l) wide[l] = to_float(p[l]);
        return narrow<N>::load_aligned(wide.data());
    }
}

/// Four consecutive stored weights, each spread over a vector: one load and four shuffles where
/// four broadcasts would be four loads.
template <class T>
std::array<vecf, 4> broadcast_four(const T* p) noexcept {
#if defined(__AVX512F__)
    const __m512 four = _mm512_broadcast_f32x4(load_narrow<4>(p));
    return {_mm512_permute_ps(four, 0x00), _mm512_permute_ps(four, 0x55),
            _mm512_permute_ps(four, 0xaa), _mm512_permute_ps(four, 0xff)};
#elif defined(__AVX__)
    const __m128 half = load_narrow<4>(p);
    const __m256 four = _mm256_set_m128(half, half);
    return {_mm256_permute_ps(four, 0x00), _mm256_permute_ps(four, 0x55),
            _mm256_permute_ps(four, 0xaa), _mm256_permute_ps(four, 0xff)};
#elif defined(__aarch64__)
    const float32x4_t four = load(p);
    return {vdupq_laneq_f32(four, 0), vdupq_laneq_f32(four, 1), vdupq_laneq_f32(four, 2),
            vdupq_laneq_f32(four, 3)};
#else
    return {vecf(to_float(p[0])), vecf(to_float(p[1])), vecf(to_float(p[2])), vecf(to_float(p[3]))};
#endif
}

}  // namespace pare::simd::inline PARE_ARCH_NAMESPACE
#endif

#endif  // PARE_KERNEL_SIMD_NARROW_HPP
