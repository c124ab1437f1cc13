// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KERNEL_SIMD_VEC_HPP
#define PARE_KERNEL_SIMD_VEC_HPP

#include "../../core/dtype.hpp"

#ifndef PARE_NO_XSIMD
#if !__has_include(<xsimd/xsimd.hpp>)
#error "pare needs xsimd (libxsimd-dev); define PARE_NO_XSIMD to build the scalar kernels instead"
#endif
#include <xsimd/xsimd.hpp>
#endif

#include <array>
#include <cstddef>
#include <cstdint>

/// 1 when vector kernels exist for the target; 0 leaves every kernel to its scalar twin.
#if !defined(PARE_NO_XSIMD) && \
    (defined(__SSE2__) || (defined(__aarch64__) && !defined(__ARM_FEATURE_SVE_BITS)))
#define PARE_HAS_SIMD 1
#else
#define PARE_HAS_SIMD 0
#endif

/// 1 where lanes can be left out of a load by an instruction.
#if PARE_HAS_SIMD && (defined(__AVX512F__) || defined(__AVX2__))
#define PARE_HAS_MASKED_LOADS 1
#else
#define PARE_HAS_MASKED_LOADS 0
#endif

/// Before a short loop over registers: unrolls it at -O2 too, or its vectors live in memory.
#if defined(__clang__)
#define PARE_UNROLL _Pragma("clang loop unroll(full)")
#elif defined(__GNUC__)
#define PARE_UNROLL _Pragma("GCC unroll 16")
#else
#define PARE_UNROLL
#endif

#if PARE_HAS_SIMD
namespace pare::simd::inline PARE_ARCH_NAMESPACE {

using vecf = xsimd::batch<float>;
using veci = xsimd::batch<std::uint32_t>;
inline constexpr std::size_t lanes = vecf::size;

#if defined(__AVX512F__) || defined(__aarch64__)
inline constexpr std::size_t vector_registers = 32;
#else
inline constexpr std::size_t vector_registers = 16;
#endif

static_assert(lanes == 4 || lanes == 8 || lanes == 16, "pare: a vector width it does not know");

/// a * b + c, rounded once where the machine can (xsimd 8.1 does not ask AVX-512 to).
inline vecf fma(vecf a, vecf b, vecf c) noexcept {
#if defined(__AVX512F__)
    return _mm512_fmadd_ps(a, b, c);
#else
    return xsimd::fma(a, b, c);
#endif
}

/// The bits of every float.
inline veci as_bits(vecf x) noexcept {
#if defined(__AVX512F__)
    return _mm512_castps_si512(x);
#elif defined(__AVX__)
    return _mm256_castps_si256(x);
#elif defined(__SSE2__)
    return _mm_castps_si128(x);
#else
    return vreinterpretq_u32_f32(x);
#endif
}

/// The floats of these bits.
inline vecf from_bits(veci x) noexcept {
#if defined(__AVX512F__)
    return _mm512_castsi512_ps(x);
#elif defined(__AVX__)
    return _mm256_castsi256_ps(x);
#elif defined(__SSE2__)
    return _mm_castsi128_ps(x);
#else
    return vreinterpretq_f32_u32(x);
#endif
}

/// The nearest whole number of every float, below 2^31 and of either sign.
inline veci nearest(vecf x) noexcept {
#if defined(__AVX512F__)
    return _mm512_cvtps_epi32(x);
#elif defined(__AVX__)
    return _mm256_cvtps_epi32(x);
#elif defined(__SSE2__)
    return _mm_cvtps_epi32(x);
#else
    return vreinterpretq_u32_s32(vcvtnq_s32_f32(x));
#endif
}

/// Signed whole numbers as floats.
inline vecf to_floats(veci x) noexcept {
#if defined(__AVX512F__)
    return _mm512_cvtepi32_ps(x);
#elif defined(__AVX__)
    return _mm256_cvtepi32_ps(x);
#elif defined(__SSE2__)
    return _mm_cvtepi32_ps(x);
#else
    return vcvtq_f32_s32(vreinterpretq_s32_u32(x));
#endif
}

/// Signed whole numbers divided by 2^N, rounded down.
template <int N>
veci signed_shift_right(veci x) noexcept {
#if defined(__AVX512F__)
    return _mm512_srai_epi32(x, N);
#elif defined(__AVX2__)
    return _mm256_srai_epi32(x, N);
#elif defined(__SSE2__) && !defined(__AVX__)
    return _mm_srai_epi32(x, N);
#elif defined(__aarch64__)
    return vreinterpretq_u32_s32(vshrq_n_s32(vreinterpretq_s32_u32(x), N));
#else
    const veci sign(1u << (31 - N));
    return ((x >> N) ^ sign) - sign;
#endif
}

/// The largest element, and the sum of all: as a tree, for the latency of a chain is felt.
inline float largest_of(vecf x) noexcept {
#if defined(__AVX512F__)
    return _mm512_reduce_max_ps(x);
#else
    alignas(64) std::array<float, lanes> each;
    x.store_aligned(each.data());
    for (std::size_t n = lanes / 2; n > 0; n /= 2)
        for (std::size_t l = 0; l < n; ++l) each[l] = each[l] < each[l + n] ? each[l + n] : each[l];
    return each[0];
#endif
}
inline float sum_of(vecf x) noexcept {
#if defined(__AVX512F__)
    return _mm512_reduce_add_ps(x);
#else
    alignas(64) std::array<float, lanes> each;
    x.store_aligned(each.data());
    for (std::size_t n = lanes / 2; n > 0; n /= 2)
        for (std::size_t l = 0; l < n; ++l) each[l] += each[l + n];
    return each[0];
#endif
}

/// Asks for the cache line that is `bytes` after p, into the caches from level Level on, as one's
/// own if it will be written; any address is allowed. Always inlined: gcc takes a function that
/// only prefetches for one without effect, and leaves out the calls that it has not inlined by
/// then.
template <int Level = 1, bool ToWrite = false>
PARE_ALWAYS_INLINE inline void prefetch(const void* p, std::size_t bytes) noexcept {
#if defined(__GNUC__) || defined(__clang__)
    __builtin_prefetch(reinterpret_cast<const void*>(reinterpret_cast<std::uintptr_t>(p) + bytes),
                       ToWrite, 4 - Level);
#else
    static_cast<void>(p), static_cast<void>(bytes);
#endif
}

/// p, without the compiler knowing where it came from: keeps it from turning `base + t * stride +
/// c` into a spilled register for every pair (t, c) of an unrolled loop.
template <class P>
P* opaque(P* p) noexcept {
#if defined(__GNUC__) || defined(__clang__)
    __asm__("" : "+r"(p));
#endif
    return p;
}

/// The next `lanes` stored weights as floats; no alignment needed.
inline vecf load(const float* p) noexcept { return vecf::load_unaligned(p); }

inline vecf load(const bf16* p) noexcept {
    [[maybe_unused]] const auto* bits = reinterpret_cast<const std::uint16_t*>(p);
#if defined(__AVX512F__)
    const __m256i half = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bits));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
#elif defined(__AVX2__)
    const __m128i half = _mm_loadu_si128(reinterpret_cast<const __m128i*>(bits));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
#elif defined(__aarch64__)
    return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(bits), 16));
#else
    alignas(64) std::array<float, lanes> wide;
    for (std::size_t l = 0; l < lanes; ++l) wide[l] = to_float(p[l]);
    return vecf::load_aligned(wide.data());
#endif
}

inline vecf load(const f16* p) noexcept {
    [[maybe_unused]] const auto* bits = reinterpret_cast<const std::uint16_t*>(p);
#if defined(__AVX512F__)
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(bits)));
#elif defined(__F16C__) && defined(__AVX__)
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(bits)));
#elif defined(__aarch64__)
    return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(bits)));
#else
    alignas(64) std::array<float, lanes> wide;
    for (std::size_t l = 0; l < lanes; ++l) wide[l] = to_float(p[l]);
    return vecf::load_aligned(wide.data());
#endif
}

/// The lower 16 bits of every element, `lanes` of them.
inline void store_low_halves(veci x, std::uint16_t* p) noexcept {
#if defined(__AVX512F__)
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(x));
#elif defined(__aarch64__)
    vst1_u16(p, vmovn_u32(x));
#else
    alignas(64) std::array<std::uint32_t, lanes> words;
    x.store_aligned(words.data());
    for (std::size_t l = 0; l < lanes; ++l) p[l] = static_cast<std::uint16_t>(words[l]);
#endif
}

/// Rounds `lanes` floats to nearest even and stores them; bit for bit from_float().
inline void store(vecf x, f16* p) noexcept {
    [[maybe_unused]] auto* bits = reinterpret_cast<std::uint16_t*>(p);
#if defined(__AVX512F__)
    const __m256i half = _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(bits), half);
#elif defined(__F16C__) && defined(__AVX__)
    const __m128i half = _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(bits), half);
#elif defined(__aarch64__)
    vst1_u16(bits, vreinterpret_u16_f16(vcvt_f16_f32(x)));
#else
    alignas(64) std::array<float, lanes> wide;
    x.store_aligned(wide.data());
    for (std::size_t l = 0; l < lanes; ++l) p[l] = from_float<f16>(wide[l]);
#endif
}

inline void store(vecf x, bf16* p) noexcept {
    auto* bits = reinterpret_cast<std::uint16_t*>(p);
    const veci wide = as_bits(x);
    const veci rounded = (wide + veci(0x7fffu) + ((wide >> 16) & veci(1u))) >> 16;
    const veci quiet_nan = (wide >> 16) | veci(0x40u);
    // All ones where x is NaN; xsimd 8.1 cannot compare integers for AVX-512 at -O0.
    const veci is_nan = veci(0u) - ((veci(0x7f800000u) - (wide & veci(0x7fffffffu))) >> 31);
    const veci half = (quiet_nan & is_nan) | (rounded & ~is_nan);
    store_low_halves(half, bits);
}

/// Four consecutive floats from each of `lanes` rows, `stride` apart.
/// @return vector i holds element i of every row.
inline std::array<vecf, 4> load_transposed(const float* p, std::size_t stride) noexcept {
    const auto quads = [&](std::size_t i) -> vecf {  // rows i, i + 4, i + 8, ... side by side
        const float* row = p + i * stride;
#if defined(__AVX512F__)
        __m512 q = _mm512_castps128_ps512(_mm_loadu_ps(row));
        q = _mm512_insertf32x4(q, _mm_loadu_ps(row + 4 * stride), 1);
        q = _mm512_insertf32x4(q, _mm_loadu_ps(row + 8 * stride), 2);
        return _mm512_insertf32x4(q, _mm_loadu_ps(row + 12 * stride), 3);
#elif defined(__AVX__)
        const __m256 q = _mm256_castps128_ps256(_mm_loadu_ps(row));
        return _mm256_insertf128_ps(q, _mm_loadu_ps(row + 4 * stride), 1);
#else
        return vecf::load_unaligned(row);
#endif
    };
    const vecf a = quads(0), b = quads(1), c = quads(2), d = quads(3);
#if defined(__AVX512F__)
    const __m512 ab_lo = _mm512_unpacklo_ps(a, b), ab_hi = _mm512_unpackhi_ps(a, b);
    const __m512 cd_lo = _mm512_unpacklo_ps(c, d), cd_hi = _mm512_unpackhi_ps(c, d);
    return {_mm512_shuffle_ps(ab_lo, cd_lo, 0x44), _mm512_shuffle_ps(ab_lo, cd_lo, 0xee),
            _mm512_shuffle_ps(ab_hi, cd_hi, 0x44), _mm512_shuffle_ps(ab_hi, cd_hi, 0xee)};
#elif defined(__AVX__)
    const __m256 ab_lo = _mm256_unpacklo_ps(a, b), ab_hi = _mm256_unpackhi_ps(a, b);
    const __m256 cd_lo = _mm256_unpacklo_ps(c, d), cd_hi = _mm256_unpackhi_ps(c, d);
    return {_mm256_shuffle_ps(ab_lo, cd_lo, 0x44), _mm256_shuffle_ps(ab_lo, cd_lo, 0xee),
            _mm256_shuffle_ps(ab_hi, cd_hi, 0x44), _mm256_shuffle_ps(ab_hi, cd_hi, 0xee)};
#elif defined(__SSE2__)
    const __m128 ab_lo = _mm_unpacklo_ps(a, b), ab_hi = _mm_unpackhi_ps(a, b);
    const __m128 cd_lo = _mm_unpacklo_ps(c, d), cd_hi = _mm_unpackhi_ps(c, d);
    return {_mm_shuffle_ps(ab_lo, cd_lo, 0x44), _mm_shuffle_ps(ab_lo, cd_lo, 0xee),
            _mm_shuffle_ps(ab_hi, cd_hi, 0x44), _mm_shuffle_ps(ab_hi, cd_hi, 0xee)};
#else
    const float32x4_t ab_lo = vzip1q_f32(a, b), ab_hi = vzip2q_f32(a, b);
    const float32x4_t cd_lo = vzip1q_f32(c, d), cd_hi = vzip2q_f32(c, d);
    return {vcombine_f32(vget_low_f32(ab_lo), vget_low_f32(cd_lo)),
            vcombine_f32(vget_high_f32(ab_lo), vget_high_f32(cd_lo)),
            vcombine_f32(vget_low_f32(ab_hi), vget_low_f32(cd_hi)),
            vcombine_f32(vget_high_f32(ab_hi), vget_high_f32(cd_hi))};
#endif
}

/// lanes / 2 consecutive floats, each of them twice.
inline vecf load_twice(const float* p) noexcept {
#if defined(__AVX512F__)
    const __m512i twice = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
    return _mm512_permutexvar_ps(twice, _mm512_castps256_ps512(_mm256_loadu_ps(p)));
#elif defined(__AVX__)
    const __m128 half = _mm_loadu_ps(p);
    return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_unpacklo_ps(half, half)),
                                _mm_unpackhi_ps(half, half), 1);
#elif defined(__SSE2__)
    return _mm_setr_ps(p[0], p[0], p[1], p[1]);
#else
    const float32x2_t half = vld1_f32(p);
    return vcombine_f32(vzip1_f32(half, half), vzip2_f32(half, half));
#endif
}

/// Every other one of the floats of a, then b, from the first on.
inline vecf even_of(vecf a, vecf b) noexcept {
#if defined(__AVX512F__)
    const __m512i even =
        _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    return _mm512_permutex2var_ps(a, even, b);
#elif defined(__AVX__)
    const __m256 low = _mm256_permute2f128_ps(a, b, 0x20),
                 high = _mm256_permute2f128_ps(a, b, 0x31);
    return _mm256_shuffle_ps(low, high, 0x88);
#elif defined(__SSE2__)
    return _mm_shuffle_ps(a, b, 0x88);
#else
    return vuzp1q_f32(a, b);
#endif
}

/// Every other one of 2 * lanes consecutive floats, from the first on.
inline vecf load_even(const float* p) noexcept { return even_of(load(p), load(p + lanes)); }

#if PARE_HAS_MASKED_LOADS
/// p[l] where bit l of `bits` is set, else zero; nothing else is read. Bits from `lanes` on do not
/// count.
inline vecf load_where(std::uint32_t bits, const float* p) noexcept {
#if defined(__AVX512F__)
    return _mm512_maskz_loadu_ps(static_cast<__mmask16>(bits), p);
#else
    const __m256i lane = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    const __m256i all = _mm256_set1_epi32(static_cast<int>(bits));
    return _mm256_maskload_ps(p, _mm256_cmpeq_epi32(_mm256_and_si256(all, lane), lane));
#endif
}
#endif

}  // namespace pare::simd::inline PARE_ARCH_NAMESPACE
#endif

#endif  // PARE_KERNEL_SIMD_VEC_HPP
