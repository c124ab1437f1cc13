// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/packed/pack_hinm.hpp>

#include <pare/quant/cast.hpp>

#include "golden.hpp"
#include "support/catch.hpp"
#include "support/layouts.hpp"
#include "support/matrix.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>
#include <vector>

using pare::bf16, pare::errc, pare::f16, pare::to_float;
using pare::prune::hinm_order;
using namespace pare::testing;
namespace packed = pare::packed;

namespace {

template <int N, int M, class T>
struct owned : packed_memory<T> {
    using layout = packed::hinm<N, M, T>;

    explicit owned(const hinm_order& order)
        : packed_memory<T>(layout::n_values(packed::shape_of(order)),
                           layout::n_words(packed::shape_of(order))) {}

    pare::result<layout> pack(const matrix& weights, bits& kept, const hinm_order& order) {
        this->spoil();
        return packed::pack<N, M>(weights.view(), kept.view(), order, pare::quant::cast<T>{},
                                  this->values.span(), this->words.span());
    }
};

// --- Golden bytes -------------------------------------------------------------------------------

template <int N, int M, class T>
std::uint64_t golden_hash(const packed::hinm_shape& shape) {
    const auto order = golden_order(shape);
    owned<N, M, T> memory(order);
    bits kept(shape.rows, shape.cols);
    golden_select<N, M>(order, kept);
    REQUIRE(memory.pack(golden_weights(shape.rows, shape.cols), kept, order));
    return memory.hash();
}

// --- Round trips --------------------------------------------------------------------------------

// Packs a random matrix in a random order under a mask that fits it, and counts what does not come
// back.
template <int N, int M, class T = float>
int round_trip_errors(std::size_t rows, std::size_t cols, std::size_t tile_rows,
                      std::uint64_t seed) {
    const matrix weights = matrix::uniform(rows, cols, seed);
    const auto order = any_order(rows, cols, tile_rows, seed);
    bits kept(rows, cols);
    select_any<N, M>(order, kept, seed);

    owned<N, M, T> memory(order);
    const auto made = memory.pack(weights, kept, order);
    if (!made) return -1;
    const auto same_order = packed::order_of(*made);
    return memory.errors(*made, weights, kept) + !(same_order && *same_order == order);
}

template <int N, int M, class T = float>
void check_round_trips() {
    constexpr std::size_t m = M;
    std::uint64_t seed = 0;
    for (const std::size_t tile_rows : {1u, 4u, 16u, 24u, 32u, 64u, 1024u})
        for (const std::size_t rows : {1u, 16u, 33u, 65u, 130u})
            for (const std::size_t cols :
                 {std::size_t{1}, m - 1, m + 1, 3 * m, 5 * m + m / 2, std::size_t{67}}) {
                if (cols == 0) continue;
                ++seed;
                CAPTURE(N, M, tile_rows, rows, cols, seed);
                CHECK(round_trip_errors<N, M, T>(rows, cols, tile_rows, seed) == 0);
            }
}

}  // namespace

TEST_CASE("golden bytes of packed hinm 2:4 f16 in two tiles") {
    const auto order = golden_order({3, 9, 2, 7, 2, false});
    owned<2, 4, f16> memory(order);
    bits kept(3, 9);
    golden_select<2, 4>(order, kept);
    REQUIRE(kept.text() == "111000000 011010011 111000011");
    REQUIRE(memory.pack(golden_weights(3, 9), kept, order));
    // Row 2 stores columns 1 8 dense, 2 0 of 6 4 2 0 and 7 of itself, row 1 beside it 4 2 of the
    // same; row 0, in a tile of its own, 4 (a zero) and 2 dense, 0 and a zero of 0 7 5 3, and 1.
    CHECK(memory.has_only({{0, 0, 0x4540},
                           {0, 1, 0x4300},
                           {1, 0, 0x44c0},
                           {1, 1, 0xc200},
                           {2, 0, 0xc680},
                           {2, 1, 0x4440},
                           {3, 0, 0xb400},
                           {5, 0, 0x3800},
                           {6, 0, 0xc500},
                           {6, 1, 0x4180},
                           {7, 0, 0x46c0},
                           {7, 1, 0xc480},
                           {9, 0, 0x3a00}},
                          {{0, 0, 0b00'11'10},
                           {0, 1, 0b00'10'01},
                           {1, 0, 0b00'01'00},
                           {2, 0, 2},
                           {2, 1, 1},
                           {2, 2, 0},
                           {2, 3, 1 | 8 << 16},
                           {2, 4, 6 | 4 << 16},
                           {2, 5, 2 | 0 << 16},
                           {2, 6, 7},
                           {2, 7, 4 | 2 << 16},
                           {2, 8, 0 | 7 << 16},
                           {2, 9, 5 | 3 << 16},
                           {2, 10, 1}}));
}

TEST_CASE("golden bytes of packed hinm of several patterns, tiles and types") {
    CHECK(golden_hash<2, 4, float>({6, 10, 4, 8, 0, true}) == 0x56c9dd39614ee142);
    CHECK(golden_hash<2, 4, f16>({71, 33, 32, 21, 0, false}) == 0x791a3f6ef61898d4);
    CHECK(golden_hash<2, 4, bf16>({33, 24, 16, 13, 5, false}) == 0xeab5b550d841b701);
    CHECK(golden_hash<1, 8, float>({53, 40, 24, 31, 4, false}) == 0x489ef83d0a04fc03);
    CHECK(golden_hash<3, 7, bf16>({131, 30, 64, 27, 2, true}) == 0x16854f991bbaa6dc);
    CHECK(golden_hash<1, 4, f16>({64, 64, 32, 64, 0, false}) == 0x75a99f434f6b846e);
    CHECK(golden_hash<5, 32, float>({9, 100, 4, 71, 3, false}) == 0xc5b6ea494eeee463);
    CHECK(golden_hash<1, 1, f16>({17, 9, 16, 5, 2, false}) == 0xc32681c425ccf303);
    CHECK(golden_hash<2, 4, f16>({83, 65, 40, 9, 9, false}) == 0x86ba6ce8a35c02a9);
}

TEST_CASE("hinm size arithmetic counts places, words and bytes") {
    using layout = packed::hinm<2, 4, f16>;
    // The example of docs/formats.md: 4.76 bits per weight.
    constexpr packed::hinm_shape large{4096, 4096, 32, 2048, 0, false};
    STATIC_REQUIRE(layout::n_values(large) == 4096 * 1024);
    STATIC_REQUIRE(layout::n_indices(large) == 4096 * 64);
    STATIC_REQUIRE(layout::n_words(large) == 4096 * 64 + 4096 + 128 * 1024);
    STATIC_REQUIRE(layout::required_bytes(large) == 8 * 1048576 + 1048576 + 16384 + 524288);
    STATIC_REQUIRE(layout::required_bytes(large) * 800 / (4096 * 4096) == 475);  // 4.757
    // V = 24: a tile takes 32 rows of the compact matrix, the last only those it needs.
    constexpr packed::hinm_shape odd{53, 40, 24, 31, 4, false};
    STATIC_REQUIRE(odd.n_tiles() == 3);
    STATIC_REQUIRE(odd.padded_tile_rows() == 32);
    STATIC_REQUIRE(odd.compact_row(23) == 23);
    STATIC_REQUIRE(odd.compact_row(24) == 32);
    STATIC_REQUIRE(odd.compact_rows() == 64 + 5);
    STATIC_REQUIRE(odd.column_words() == 16);
    STATIC_REQUIRE(layout::n_values(odd) == 80 * (4 + 14));
    STATIC_REQUIRE(layout::n_words(odd) == 80 * 1 + 53 + 3 * 16);
    constexpr packed::hinm_shape in_place{53, 40, 24, 31, 4, true};
    STATIC_REQUIRE(layout::n_words(in_place) == 80 * 1 + 3 * 16);
    STATIC_REQUIRE(layout::required_bytes({0, 40, 24, 31, 4, false}) == 0);
}

TEST_CASE("unpack(pack(w, mask, order)) is w under the mask, and the order comes back") {
    check_round_trips<2, 4>();
    check_round_trips<1, 4>();
    check_round_trips<1, 1>();
    check_round_trips<3, 7>();
    check_round_trips<5, 32>();
}

TEST_CASE("hinm weights come back rounded to the stored type") {
    check_round_trips<2, 4, f16>();
    check_round_trips<3, 8, bf16>();
}

TEST_CASE("the shape of an order says whether its rows are in place") {
    auto order = *hinm_order::make(6, 9, 4, 5, 2);
    CHECK(packed::shape_of(order) == packed::hinm_shape{6, 9, 4, 5, 2, true});
    std::swap(order.outputs()[4], order.outputs()[5]);
    CHECK(packed::shape_of(order) == packed::hinm_shape{6, 9, 4, 5, 2, false});
}

namespace {

// A sound thing to pack, and what becomes of it when spoiled.
struct packing {
    matrix weights = matrix::uniform(20, 10, 1);
    hinm_order order = *hinm_order::make(20, 10, 8, 7, 2);
    bits kept{20, 10};

    packing() {
        std::swap(order.outputs()[3], order.outputs()[19]);
        order.columns(2)[6] = 9;
        select_any<1, 4>(order, kept, 2);
    }

    template <class T = float>
    pare::error refusal() {
        owned<1, 4, T> memory(order);
        const auto refused = memory.pack(weights, kept, order);
        REQUIRE_FALSE(refused);
        return refused.error();
    }
};

}  // namespace

TEST_CASE("a mask that keeps too many of a group of hinm is refused with its row") {
    for (const std::size_t row : {0u, 3u, 19u}) {
        packing spoiled;
        spoiled.kept.view().set(row, 4, true);
        spoiled.kept.view().set(row, 5, true);
        const auto refused = spoiled.refusal();
        CHECK(refused.code == errc::pattern_violated);
        CHECK(refused.where == row);
    }
}

TEST_CASE("a mask that keeps a column its tile lacks is refused with its row") {
    for (const auto& [row, column] : {std::pair{0u, 7u}, {3u, 6u}, {18u, 6u}, {19u, 9u}}) {
        packing spoiled;
        spoiled.kept.view().set(row, column, true);
        const auto refused = spoiled.refusal();
        CAPTURE(row, column);
        CHECK(refused.code == errc::pattern_violated);
        CHECK(refused.where == row);
    }
}

TEST_CASE("a kept weight of hinm that is not finite is refused, a pruned one does not matter") {
    for (const std::size_t column : {1u, 4u})  // dense, grouped
        for (const float bad :
             {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
              -std::numeric_limits<float>::infinity(), 70000.0f}) {
            packing spoiled;
            spoiled.weights(19, column) = bad;
            for (std::size_t c = 0; c < 10; ++c) spoiled.kept.view().set(19, c, false);
            owned<1, 4, f16> memory(spoiled.order);
            CHECK(memory.pack(spoiled.weights, spoiled.kept, spoiled.order));
            spoiled.kept.view().set(19, column, true);
            const auto refused = spoiled.refusal<f16>();
            CHECK(refused.code == errc::not_a_number);
            CHECK(refused.where == 19);
        }
}

TEST_CASE("packing refuses weights, a mask and an order of different shapes") {
    for (const auto& [rows, cols] : {std::pair{19u, 10u}, {20u, 9u}, {20u, 11u}, {10u, 20u}}) {
        packing sound;
        owned<1, 4, float> memory(sound.order);
        bits other_mask(rows, cols);
        const auto order = *hinm_order::make(rows, cols, 8, 7, 2);
        for (const auto& refused :
             {memory.pack(matrix(rows, cols), sound.kept, sound.order),
              memory.pack(sound.weights, other_mask, sound.order),
              owned<1, 4, float>(order).pack(sound.weights, sound.kept, order)}) {
            REQUIRE_FALSE(refused);
            CHECK(refused.error().code == errc::shape_mismatch);
        }
    }
}

TEST_CASE("packing hinm refuses memory of another size") {
    packing sound;
    owned<1, 4, float> memory(sound.order);
    const std::size_t n_values = memory.values.size(), n_words = memory.words.size();
    const auto pack = [&](std::size_t values, std::size_t words) {
        return packed::pack<1, 4>(sound.weights.view(), sound.kept.view(), sound.order,
                                  pare::quant::cast<float>{}, memory.values.span().first(values),
                                  memory.words.span().first(words));
    };
    CHECK(pack(n_values, n_words));
    for (const auto& refused :
         {pack(n_values - 1, n_words), pack(n_values, n_words - 1), pack(0, 0)}) {
        REQUIRE_FALSE(refused);
        CHECK(refused.error().code == errc::buffer_too_small);
    }
}

TEST_CASE("packed hinm has 65,536 columns at most, keeps some, and its tiles are low enough") {
    const auto pack = [](std::size_t rows, std::size_t cols, std::size_t tile_rows,
                         std::size_t kept) {
        auto order = *hinm_order::make(rows, cols, tile_rows, kept);
        bits mask(rows, cols);
        if (kept > 0) {
            order.columns(0)[0] = static_cast<std::uint32_t>(cols - 1);
            mask.view().set(0, cols - 1, true);
        }
        owned<1, 2, float> memory(order);
        const auto made = memory.pack(matrix::uniform(rows, cols, 1), mask, order);
        return made ? made->tile_column(0, 0) : made.error().code == errc::invalid_argument ? 0 : 1;
    };
    CHECK(pack(1, 65536, 1, 2) == 65535);
    CHECK(pack(1, 65537, 1, 2) == 0);
    CHECK(pack(3, 8, 1024, 2) == 7);
    CHECK(pack(3, 8, 1025, 2) == 0);
    CHECK(pack(3, 8, 16, 0) == 0);
}

TEST_CASE("check finds every index of hinm outside its group or out of order, padding included") {
    // 3:7, tiles of 18 rows in 32: of the compact rows 0 to 47 those from 18 to 31 and after 36 are
    // padding. Groups of 7, 7 and 2 columns, indices of 3 bits that may be 7.
    using layout = packed::hinm<3, 7, float>;
    auto order = *hinm_order::make(23, 30, 18, 18, 2);
    bits kept(23, 30);
    select_any<3, 7>(order, kept, 1);
    owned<3, 7, float> memory(order);
    const auto made = memory.pack(matrix::uniform(23, 30, 2), kept, order);
    REQUIRE(made);
    REQUIRE(packed::check(*made));

    int missed = 0, refused = 0;
    constexpr std::size_t steps = 3 + 3 + 2;
    STATIC_REQUIRE(layout::grouped_part::steps(16) == steps);
    for (std::size_t row = 0; row < 48; ++row)
        for (std::size_t s = 0; s < steps; ++s)
            for (std::uint32_t index = 0; index < 8; ++index) {
                std::uint32_t& word = memory.words[row / 16 * 16 + row % 16];
                const std::uint32_t before = word;
                word = (before & ~(7u << 3 * s)) | index << 3 * s;
                const bool padding = (row >= 18 && row < 32) || row > 36;
                const auto place = [&](std::size_t step) { return word >> 3 * step & 7u; };
                bool fits = index < (s < 6 ? 7u : 2u);
                if (!padding && s % 3 != 0) fits = fits && place(s - 1) < index;
                if (!padding && s % 3 != 2 && s + 1 < steps) fits = fits && index < place(s + 1);
                const auto checked = packed::check(*made);
                missed += checked.has_value() != fits;
                if (!checked) {
                    ++refused;
                    missed += checked.error().code != errc::malformed_file ||
                              checked.error().where != row;
                }
                word = before;
            }
    CHECK(missed == 0);
    CHECK(refused > 48 * (6 * 1 + 2 * 6));  // those outside, and some out of order
}

TEST_CASE("check finds outputs that are no permutation and columns that are not there or twice") {
    packing sound;
    owned<1, 4, float> memory(sound.order);
    const auto made = memory.pack(sound.weights, sound.kept, sound.order);
    REQUIRE(made);
    const std::size_t outputs = packed::hinm<1, 4, float>::n_indices(*made), columns = outputs + 20;
    const auto refusal = [&](std::size_t word, std::uint32_t bits) {
        const std::uint32_t before = std::exchange(memory.words[word], bits);
        const auto checked = packed::check(*made);
        memory.words[word] = before;
        REQUIRE_FALSE(checked);
        CHECK(checked.error().code == errc::malformed_file);
        return checked.error().where;
    };
    CHECK(refusal(outputs + 5, 7) == 7);
    CHECK(refusal(outputs, 20) == 20);
    CHECK(refusal(outputs + 19, 0xffffffff) == 0xffffffff);
    CHECK(refusal(columns, 0 | 10 << 16) == 0);
    CHECK(refusal(columns + 4, 65535) == 1);
    CHECK(refusal(columns + 4, 1 | 1 << 16) == 1);
    CHECK(refusal(columns + 11, 2) == 2);
    CHECK(packed::check(*made));
}

TEST_CASE("check finds a shape that hinm cannot have") {
    packing sound;
    owned<1, 4, float> memory(sound.order);
    const auto made = memory.pack(sound.weights, sound.kept, sound.order);
    REQUIRE(made);
    const auto refused = [&](auto&& spoil) {
        auto spoiled = *made;
        spoil(spoiled);
        const auto checked = packed::check(spoiled);
        return !checked && checked.error().code == errc::malformed_file;
    };
    CHECK_FALSE(refused([](auto&) {}));
    CHECK(refused([](auto& s) { s.kept = 0; }));
    CHECK(refused([](auto& s) { s.kept = 11; }));
    CHECK(refused([](auto& s) { s.dense = 8; }));
    CHECK(refused([](auto& s) { s.tile_rows = 0; }));
    CHECK(refused([](auto& s) { s.tile_rows = 1025; }));
    CHECK(refused([](auto& s) { s.cols = 65537; }));
}

TEST_CASE("an hinm layout may lie in other memory, and is a view of itself") {
    const hinm_matrix<2, 4, 24, bf16> weights(matrix::uniform(50, 30, 1), 2);
    const std::vector<bf16> values(weights.values().begin(), weights.values().end());
    const std::vector<std::uint32_t> words(weights.words().begin(), weights.words().end());
    const auto moved = weights.view().over(values.data(), words.data());
    matrix restored(50, 30);
    REQUIRE(packed::unpack(moved, restored.view()));
    CHECK(restored.data() == weights.dense().data());
    CHECK(&moved.view() == &moved);
    STATIC_REQUIRE(std::is_trivially_copyable_v<packed::hinm<2, 4, bf16>>);
}
