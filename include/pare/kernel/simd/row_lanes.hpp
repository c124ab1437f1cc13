// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KERNEL_SIMD_ROW_LANES_HPP
#define PARE_KERNEL_SIMD_ROW_LANES_HPP

#include "narrow.hpp"

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#if PARE_HAS_SIMD
namespace pare::simd::inline PARE_ARCH_NAMESPACE {

/// N floats side by side, N of 4, 8, 16, 32, in the widest vectors that they fill.
template <std::size_t N>
class row_lanes {
    using part = narrow<N>;
    static constexpr std::size_t part_lanes = part::size;

  public:
    static constexpr std::size_t n_parts = N / part_lanes;

    row_lanes() noexcept { parts_.fill(part(0.0f)); }
    /// N stored numbers; nothing beyond them is read.
    template <class T>
    explicit row_lanes(const T* p) noexcept {
        PARE_UNROLL
        for (std::size_t i = 0; i < n_parts; ++i) parts_[i] = load_narrow<N>(p + i * part_lanes);
    }

    void store(float* p) const noexcept {
        PARE_UNROLL
        for (std::size_t i = 0; i < n_parts; ++i) parts_[i].store_unaligned(p + i * part_lanes);
    }
    row_lanes& operator+=(const row_lanes& other) noexcept {
        PARE_UNROLL
        for (std::size_t i = 0; i < n_parts; ++i) parts_[i] = parts_[i] + other.parts_[i];
        return *this;
    }
    /// += w * x
    PARE_ALWAYS_INLINE void add_product(const row_lanes& w, float x) noexcept {
        PARE_UNROLL
        for (std::size_t i = 0; i < n_parts; ++i)
            parts_[i] = fma_narrow<N>(w.parts_[i], part(x), parts_[i]);
    }
    /// Makes one of them zero, NaN or not.
    void clear(std::size_t i) noexcept {
        static constexpr auto one_hole = [] {
            std::array<std::uint32_t, 2 * N - 1> words;
            words.fill(0xffffffffu);
            words[N - 1] = 0;
            return std::bit_cast<std::array<float, 2 * N - 1>>(words);
        }();
        PARE_UNROLL
        for (std::size_t j = 0; j < n_parts; ++j)
            parts_[j] = parts_[j] & part::load_unaligned(&one_hole[N - 1 - i + j * part_lanes]);
    }

  private:
    std::array<part, n_parts> parts_;
};

}  // namespace pare::simd::inline PARE_ARCH_NAMESPACE
#endif

#endif  // PARE_KERNEL_SIMD_ROW_LANES_HPP
