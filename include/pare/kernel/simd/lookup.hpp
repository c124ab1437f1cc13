// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KERNEL_SIMD_LOOKUP_HPP
#define PARE_KERNEL_SIMD_LOOKUP_HPP

#include "vec.hpp"

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#if PARE_HAS_SIMD
namespace pare::simd::inline PARE_ARCH_NAMESPACE {

/// A table of M <= 32 floats held in registers, of which every lane picks one: the activations of
/// one group of columns, looked up by the indices of `lanes` output channels in one instruction.
template <int M>
class lookup {
    static_assert(2 <= M && M <= 32);

  public:
    /// Floats that load() reads.
    static constexpr std::size_t width = M <= 4 ? 4 : std::bit_ceil(static_cast<std::size_t>(M));

#if defined(__AVX512F__)
    /// Whether an index may carry anything above its ceil(log2 M) bits: the instruction ignores
    /// them, or the table repeats.
    static constexpr bool takes_dirty_index = M != 2;

    explicit lookup(const float* x) noexcept {
        if constexpr (width == 4) {
            table_[0] = _mm512_broadcast_f32x4(_mm_loadu_ps(x));
        } else if constexpr (width == 8) {
            const __m256d eight = _mm256_castps_pd(_mm256_loadu_ps(x));
            table_[0] = _mm512_castpd_ps(_mm512_broadcast_f64x4(eight));
        } else {
            for (std::size_t i = 0; i < n_tables; ++i) table_[i] = _mm512_loadu_ps(x + 16 * i);
        }
    }
    vecf operator()(veci index) const noexcept {
        if constexpr (width == 4) return _mm512_permutevar_ps(table_[0], index);
        else if constexpr (width <= 16) return _mm512_permutexvar_ps(index, table_[0]);
        else return _mm512_permutex2var_ps(table_[0], index, table_[1]);
    }

  private:
    static constexpr std::size_t n_tables = width <= 16 ? 1 : 2;
    __m512 table_[n_tables];

#elif defined(__AVX2__)
    static constexpr bool takes_dirty_index = M != 2;

    explicit lookup(const float* x) noexcept {
        if constexpr (width == 4) {
            table_[0] = _mm256_broadcast_ps(reinterpret_cast<const __m128*>(x));
        } else {
            for (std::size_t i = 0; i < n_tables; ++i) table_[i] = _mm256_loadu_ps(x + 8 * i);
        }
    }
    vecf operator()(veci index) const noexcept {
        const __m256i i = index;
        if constexpr (width == 4) return _mm256_permutevar_ps(table_[0], i);
        else if constexpr (width == 8) return _mm256_permutevar8x32_ps(table_[0], i);
        else {
            // Bits 3 and 4 of the index choose among the eights.
            const __m256 bit3 = _mm256_castsi256_ps(_mm256_slli_epi32(i, 28));
            const auto pick = [&](std::size_t t) {
                return _mm256_blendv_ps(_mm256_permutevar8x32_ps(table_[t], i),
                                        _mm256_permutevar8x32_ps(table_[t + 1], i), bit3);
            };
            if constexpr (width == 16) return pick(0);
            else {
                const __m256 bit4 = _mm256_castsi256_ps(_mm256_slli_epi32(i, 27));
                return _mm256_blendv_ps(pick(0), pick(2), bit4);
            }
        }
    }

  private:
    static constexpr std::size_t n_tables = width <= 8 ? 1 : width / 8;
    __m256 table_[n_tables];

#elif defined(__aarch64__)
    static constexpr bool takes_dirty_index = false;

    explicit lookup(const float* x) noexcept {
        for (std::size_t i = 0; i < width / 4; ++i)
            bytes_.val[i] = vreinterpretq_u8_f32(vld1q_f32(x + 4 * i));
    }
    vecf operator()(veci index) const noexcept {
        // Byte j of lane l picks byte 4 * index + j of the table.
        const uint32x4_t i = index;
        const uint8x16_t at =
            vreinterpretq_u8_u32(vaddq_u32(vmulq_n_u32(i, 0x04040404u), vdupq_n_u32(0x03020100u)));
        if constexpr (width == 4) {
            return vreinterpretq_f32_u8(vqtbl1q_u8(bytes_.val[0], at));
        } else if constexpr (width == 8) {
            return vreinterpretq_f32_u8(vqtbl2q_u8({{bytes_.val[0], bytes_.val[1]}}, at));
        } else {
            const auto four = [&](std::size_t k) -> uint8x16x4_t {
                return {{bytes_.val[k], bytes_.val[k + 1], bytes_.val[k + 2], bytes_.val[k + 3]}};
            };
            uint8x16_t picked = vqtbl4q_u8(four(0), at);
            if constexpr (width == 32)  // out-of-range bytes give 0 in one half or the other
                picked = vorrq_u8(picked, vqtbl4q_u8(four(4), vsubq_u8(at, vdupq_n_u8(64))));
            return vreinterpretq_f32_u8(picked);
        }
    }

  private:
    struct {
        uint8x16_t val[width / 4];
    } bytes_;

#else
    static constexpr bool takes_dirty_index = false;

    explicit lookup(const float* x) noexcept : table_(x) {}
    vecf operator()(veci index) const noexcept {
        alignas(64) std::array<std::uint32_t, lanes> at;
        alignas(64) std::array<float, lanes> picked;
        index.store_aligned(at.data());
        for (std::size_t l = 0; l < lanes; ++l) picked[l] = table_[at[l]];
        return vecf::load_aligned(picked.data());
    }

  private:
    const float* table_;
#endif
};

}  // namespace pare::simd::inline PARE_ARCH_NAMESPACE
#endif

#endif  // PARE_KERNEL_SIMD_LOOKUP_HPP
