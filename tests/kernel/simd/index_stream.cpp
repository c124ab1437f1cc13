// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/kernel/simd/index_stream.hpp>

#include <pare/core/random.hpp>

#include "support/catch.hpp"
#include "support/fenced_array.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#if PARE_HAS_SIMD

using pare::packed::tile_rows, pare::simd::index_stream, pare::simd::lanes, pare::simd::veci;

namespace {

// Words of a tile that nothing may be read beyond.
class tile {
  public:
    explicit tile(std::size_t n_words) : words_(draw(n_words), pare::testing::fence::after) {}

    const std::uint32_t* words() { return words_.data(); }
    // The number of `width` bits at `bit` of a lane's stream, bit by bit.
    std::uint32_t number(std::size_t lane, std::size_t bit, int width) {
        std::uint32_t value = 0;
        for (int i = 0; i < width; ++i, ++bit)
            value |= (words()[bit / 32 * tile_rows + lane] >> bit % 32 & 1u) << i;
        return value;
    }

  private:
    static std::vector<std::uint32_t> draw(std::size_t n_words) {
        pare::random random(n_words);
        std::vector<std::uint32_t> words(n_words * tile_rows);
        for (std::uint32_t& word : words) word = static_cast<std::uint32_t>(random.next());
        return words;
    }

    pare::testing::fenced_array<std::uint32_t> words_;
};

// How many indices differ, over all lanes of a tile; of dirty ones only the index's bits count.
template <int Bits, std::size_t Count, bool Dirty>
int n_wrong_steps() {
    constexpr std::uint32_t mask = Dirty ? (1u << Bits) - 1 : 0xffffffffu;
    tile of((Count * Bits + 31) / 32);
    int wrong = 0;
    for (std::size_t first = 0; first < tile_rows; first += lanes) {
        std::array<std::uint32_t, Count * lanes> index{};
        index_stream<Bits>::template read_steps<Count, Dirty>(
            of.words() + first,
            [&](auto step, veci read) { read.store_unaligned(&index[step * lanes]); });
        for (std::size_t i = 0; i < index.size(); ++i)
            wrong += (index[i] & mask) != of.number(first + i % lanes, i / lanes * Bits, Bits);
    }
    return wrong;
}

// Likewise of pairs, nothing else lying in either half.
template <int Bits, std::size_t Count, int Scale, std::size_t FirstBit>
int n_wrong_pairs() {
    tile of((FirstBit + 2 * Count * Bits + 31) / 32);
    int wrong = 0;
    for (std::size_t first = 0; first < tile_rows; first += lanes) {
        std::array<std::uint32_t, Count * lanes> halves{};
        index_stream<Bits>::template read_pairs<Count, Scale, FirstBit>(
            of.words() + first,
            [&](std::size_t pair, veci read) { read.store_unaligned(&halves[pair * lanes]); });
        for (std::size_t i = 0; i < halves.size(); ++i) {
            const std::size_t lane = first + i % lanes, bit = FirstBit + i / lanes * 2 * Bits;
            const std::uint32_t low = of.number(lane, bit, Bits) << Scale;
            wrong += halves[i] != (low | of.number(lane, bit + Bits, Bits) << (Scale + 16));
        }
    }
    return wrong;
}

}  // namespace

TEMPLATE_TEST_CASE_SIG("index_stream reads any step", "", ((int Bits), Bits), 1, 2, 3, 4, 5) {
    tile of(2 * Bits);  // 64 steps: every place of an index within and across words
    int wrong = 0;
    for (std::size_t step = 0; step < 64; ++step)
        for (std::size_t first = 0; first < tile_rows; first += lanes) {
            std::array<std::uint32_t, lanes> index{};
            index_stream<Bits>::read(of.words() + first, step).store_unaligned(index.data());
            for (std::size_t l = 0; l < lanes; ++l)
                wrong += index[l] != of.number(first + l, step * Bits, Bits);
        }
    CHECK(wrong == 0);
}

TEMPLATE_TEST_CASE_SIG("index_stream reads runs of steps, clean and dirty", "", ((int Bits), Bits),
                       1, 2, 3, 4, 5) {
    CHECK(n_wrong_steps<Bits, index_stream<Bits>::chunk, false>() == 0);
    CHECK(n_wrong_steps<Bits, index_stream<Bits>::chunk, true>() == 0);
    CHECK(n_wrong_steps<Bits, 7, false>() == 0);
}

TEMPLATE_TEST_CASE_SIG("index_stream reads pairs of steps, scaled, from any bit", "",
                       ((int Bits), Bits), 1, 2, 3, 4, 5) {
    CHECK(n_wrong_pairs<Bits, 8, 0, 0>() == 0);
    CHECK(n_wrong_pairs<Bits, 8, 6, 0>() == 0);
    CHECK(n_wrong_pairs<Bits, 8, 8, 16>() == 0);
    CHECK(n_wrong_pairs<Bits, 3, 8, 31>() == 0);         // begins in the last bit of a word
    CHECK(n_wrong_pairs<Bits, 1, 5, 32 - Bits>() == 0);  // its first index ends with it
    CHECK(n_wrong_pairs<Bits, 1, 8, 33 - Bits>() == 0);  // crosses by one bit
    CHECK(n_wrong_pairs<Bits, 1, 8, 32 - 2 * Bits>() == 0);
}

#endif
