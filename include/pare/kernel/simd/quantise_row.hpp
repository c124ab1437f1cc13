// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KERNEL_SIMD_QUANTISE_ROW_HPP
#define PARE_KERNEL_SIMD_QUANTISE_ROW_HPP

#include "vec.hpp"

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#if PARE_HAS_SIMD
namespace pare::simd::inline PARE_ARCH_NAMESPACE {

/// The largest |x| of the first n / lanes * lanes numbers; infinite when one is NaN or infinite.
inline float largest_size(const float* x, std::size_t n) noexcept {
    vecf largest(0.0f);
    veci too_large(0u);  // the sign of each lane
    for (std::size_t i = 0; i + lanes <= n; i += lanes) {
        const veci size = as_bits(vecf::load_unaligned(x + i)) & veci(0x7fffffffu);
        too_large = too_large | (veci(0x7f7fffffu) - size);
        largest = xsimd::max(largest, from_bits(size));
    }
    alignas(64) std::array<std::uint32_t, lanes> signs;
    too_large.store_aligned(signs.data());
    for (const std::uint32_t word : signs)
        if (word >> 31 != 0) return std::bit_cast<float>(0x7f800000u);
    return largest_of(largest);
}

/// codes[i] = the whole number nearest to x[i] * inverse, for as many.
inline void nearest_bytes(const float* x, std::size_t n, float inverse,
                          std::int8_t* codes) noexcept {
    for (std::size_t i = 0; i + lanes <= n; i += lanes) {
        const veci number = nearest(vecf::load_unaligned(x + i) * vecf(inverse));
#if defined(__AVX512F__)
        _mm_storeu_si128(reinterpret_cast<__m128i*>(codes + i), _mm512_cvtepi32_epi8(number));
#else
        alignas(64) std::array<std::uint32_t, lanes> words;
        number.store_aligned(words.data());
        for (std::size_t l = 0; l < lanes; ++l) codes[i + l] = static_cast<std::int8_t>(words[l]);
#endif
    }
}

}  // namespace pare::simd::inline PARE_ARCH_NAMESPACE
#endif

#endif  // PARE_KERNEL_SIMD_QUANTISE_ROW_HPP
