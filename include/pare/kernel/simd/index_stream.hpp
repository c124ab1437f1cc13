// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KERNEL_SIMD_INDEX_STREAM_HPP
#define PARE_KERNEL_SIMD_INDEX_STREAM_HPP

#include "../../packed/concepts.hpp"
#include "vec.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#if PARE_HAS_SIMD
namespace pare::simd::inline PARE_ARCH_NAMESPACE {

/// The bit streams of a tile's 16 lanes, Bits (1 to 5) per index: reads the indices of `lanes`
/// neighbouring lanes at a time. Always inlined: what visit() sums is to stay in registers, at -O2
/// too.
template <int Bits>
class index_stream {
    static constexpr std::uint32_t mask = (std::uint32_t{1} << Bits) - 1;

  public:
    /// Steps whose indices fill whole words.
    static constexpr std::size_t chunk = 32;

    /// The index of one step; `words` points at word 0 of the first lane. Higher bits are zero.
    static veci read(const std::uint32_t* words, std::size_t step) noexcept {
        const std::size_t bit = step * Bits;
        const std::uint32_t* word = words + bit / 32 * packed::tile_rows;
        const int shift = static_cast<int>(bit % 32);
        veci index = veci::load_unaligned(word) >> shift;
        if (shift + Bits > 32)
            index = index | (veci::load_unaligned(word + packed::tile_rows) << (32 - shift));
        return index & veci(mask);
    }

    /// Calls visit(step, index) for Count steps, step being a std::integral_constant so that every
    /// shift is a constant. The first index begins a word. When Dirty, the bits above the index are
    /// left as they are.
    template <std::size_t Count, bool Dirty>
    PARE_ALWAYS_INLINE static void read_steps(const std::uint32_t* words, auto&& visit) noexcept {
        const auto word = load_words<Count * Bits>(words);
        const auto each = [&]<std::size_t... Step>(std::index_sequence<Step...>) {
            (visit(std::integral_constant<std::size_t, Step>{},
                   extract<Dirty, 0, Step * Bits>(word)),
             ...);
        };
        each(std::make_index_sequence<Count>{});
    }

    /// Calls visit(pair, halves) for Count pairs of steps: the lower and the upper 16 bits hold the
    /// indices of two steps, each << Scale. The first index begins at bit FirstBit of the word at
    /// `words`.
    template <std::size_t Count, int Scale, std::size_t FirstBit>
    PARE_ALWAYS_INLINE static void read_pairs(const std::uint32_t* words, auto&& visit) noexcept {
        const auto word = load_words<FirstBit + 2 * Count * Bits>(words);
        const auto each = [&]<std::size_t... Pair>(std::index_sequence<Pair...>) {
            (visit(Pair, extract<false, Scale, FirstBit + 2 * Pair * Bits>(word) |
                             extract<false, Scale + 16, FirstBit + (2 * Pair + 1) * Bits>(word)),
             ...);
        };
        each(std::make_index_sequence<Count>{});
    }

  private:
    template <std::size_t Extent>
    static auto load_words(const std::uint32_t* words) noexcept {
        std::array<veci, (Extent + 31) / 32> word;
        for (std::size_t w = 0; w < word.size(); ++w)
            word[w] = veci::load_unaligned(words + w * packed::tile_rows);
        return word;
    }

    template <bool Dirty, int Scale, std::size_t Bit, std::size_t Words>
    static veci extract(const std::array<veci, Words>& word) noexcept {
        constexpr int shift = static_cast<int>(Bit % 32) - Scale;
        constexpr bool straddles = Bit % 32 + Bits > 32;
        veci index = word[Bit / 32];
        if constexpr (shift > 0) index = index >> shift;
        if constexpr (shift < 0) index = index << -shift;
        if constexpr (straddles) index = index | (word[Bit / 32 + 1] << (32 - shift));
        if constexpr (!Dirty) index = index & veci(mask << Scale);
        return index;
    }
};

}  // namespace pare::simd::inline PARE_ARCH_NAMESPACE
#endif

#endif  // PARE_KERNEL_SIMD_INDEX_STREAM_HPP
