// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/packed/n_m.hpp>

#include <pare/prune/n_m.hpp>
#include <pare/quant/cast.hpp>

#include "golden.hpp"
#include "support/catch.hpp"
#include "support/matrix.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>
#include <utility>
#include <vector>

using pare::bf16, pare::errc, pare::f16, pare::to_float;
using namespace pare::testing;
namespace packed = pare::packed;

namespace {

template <int N, int M, class T>
struct owned : packed_memory<T> {
    using layout = packed::n_m<N, M, T>;

    owned(std::size_t rows, std::size_t cols)
        : packed_memory<T>(layout::n_values(rows, cols), layout::n_indices(rows, cols)) {}

    pare::result<layout> pack(const matrix& weights, bits& kept) {
        this->spoil();
        return packed::pack<N, M>(weights.view(), kept.view(), pare::quant::cast<T>{},
                                  this->values.span(), this->words.span());
    }
};

template <int N, int M>
void select(const matrix& scores, bits& kept) {
    pare::prune::n_m<N, M>{}.select(scores.view(), kept.view());
}

template <int N, int M, class T>
std::uint64_t golden_hash(std::size_t rows, std::size_t cols) {
    owned<N, M, T> memory(rows, cols);
    bits kept(rows, cols);
    golden_select<N, M>(rows, cols, kept);
    REQUIRE(memory.pack(golden_weights(rows, cols), kept));
    return memory.hash();
}

// --- Round trips --------------------------------------------------------------------------------

// Packs a random matrix under a mask that keeps N of M, or fewer, unpacks it, and counts the
// elements that differ from the masked weights.
template <int N, int M, class T>
int round_trip_errors(std::size_t rows, std::size_t cols, bool fewer) {
    using layout = packed::n_m<N, M, T>;
    const std::uint64_t seed = rows * 1000 + cols;
    const matrix weights = matrix::uniform(rows, cols, seed);
    bits kept(rows, cols);
    select<N, M>(matrix::uniform(rows, cols, seed + 1), kept);
    pare::random random(seed + 2);
    for (std::size_t r = 0; r < rows; ++r)
        for (std::size_t c = 0; c < cols; ++c)
            if (fewer && random.below(3) == 0) kept.view().set(r, c, false);

    owned<N, M, T> memory(rows, cols);
    const auto made = memory.pack(weights, kept);
    if (!made) return -1;
    int wrong = memory.errors(*made, weights, kept);
    for (std::size_t r = 0; r < rows; ++r)
        for (std::size_t s = 1; s < layout::steps(cols); ++s)
            wrong += made->column(r, s) <= made->column(r, s - 1);
    return wrong;
}

template <int N, int M, class T = float>
void check_round_trips() {
    constexpr std::size_t m = M;
    for (const std::size_t cols :
         {std::size_t{1}, m - 1, m, m + 1, 2 * m - 1, 3 * m, 5 * m + m / 2})
        for (const std::size_t rows : {1u, 15u, 16u, 17u, 33u})
            for (const bool fewer : {false, true}) {
                if (cols == 0) continue;
                CAPTURE(N, M, rows, cols, fewer);
                CHECK(round_trip_errors<N, M, T>(rows, cols, fewer) == 0);
            }
}

template <int M, int... I>
void check_all_n(std::integer_sequence<int, I...>) {
    (check_round_trips<I + 1, M>(), ...);
}
template <int... I>
void check_all_m(std::integer_sequence<int, I...>) {
    (check_all_n<I + 1>(std::make_integer_sequence<int, I + 1>{}), ...);
}
// N = 1, M / 2 (rounded up) and M - 1 for M = First, First + 1, ...
template <int First, int... I>
void check_representatives(std::integer_sequence<int, I...>) {
    (check_round_trips<1, First + I>(), ...);
    (check_round_trips<(First + I + 1) / 2, First + I>(), ...);
    (check_round_trips<First + I - 1, First + I>(), ...);
}

}  // namespace

TEST_CASE("golden bytes of packed 2:4 f16 with a short last group") {
    owned<2, 4, f16> memory(2, 10);
    bits kept(2, 10);
    golden_select<2, 4>(2, 10, kept);
    REQUIRE(kept.text() == "0110100111 1100110011");
    REQUIRE(memory.pack(golden_weights(2, 10), kept));
    // Row 0 keeps columns 1 2 | 4 7 | 8 9, row 1 keeps 0 1 | 4 5 | 8 9.
    CHECK(memory.has_only({{0, 0, 0x3800},
                           {1, 0, 0x3a00},
                           {2, 0, 0x3d00},
                           {3, 0, 0x4000},
                           {4, 0, 0x4080},
                           {5, 0, 0xc100},
                           {0, 1, 0x4180},
                           {1, 1, 0x4200},
                           {2, 1, 0x4380},
                           {3, 1, 0xc400},
                           {4, 1, 0xc4c0},
                           {5, 1, 0x4500}},
                          {{0, 0, 0b01'00'11'00'10'01}, {0, 1, 0b01'00'01'00'01'00}}));
}

TEST_CASE("golden bytes of packed 3:7 bf16 whose indices cross a word") {
    // One row of 5 groups; it keeps columns 4 5 6 of each. Three bits each, low bits first, and the
    // eleventh index, 5, has its lower two bits in word 0 and the third in word 1.
    owned<3, 7, bf16> memory(1, 35);
    matrix weights(1, 35);
    bits kept(1, 35);
    for (std::size_t c = 0; c < 35; ++c) {
        weights(0, c) = static_cast<float>(c);
        kept.view().set(0, c, c % 7 >= 4);
    }
    REQUIRE(memory.pack(weights, kept));
    std::vector<entry> values;
    for (std::uint32_t s = 0; s < 15; ++s) {
        const float weight = static_cast<float>(s / 3 * 7 + 4 + s % 3);
        values.push_back({s, 0, std::bit_cast<std::uint32_t>(weight) >> 16});
    }
    CHECK(memory.has_only(values, {{0, 0, 0b01'100'110'101'100'110'101'100'110'101'100u},
                                   {1, 0, 0b110'101'100'110'1u}}));
}

TEST_CASE("golden bytes of a group that keeps fewer than N: a zero at the first free column") {
    owned<2, 4, float> memory(1, 8);
    bits kept(1, 8);
    kept.view().set(0, 2, true);
    REQUIRE(memory.pack(matrix(1, 8, {9, 9, 1.0f, 9, 9, 9, 9, 9}), kept));
    CHECK(memory.has_only({{1, 0, 0x3f800000}}, {{0, 0, 0b01'00'10'00}}));
}

TEST_CASE("golden bytes of packed matrices of several patterns, tiles and types") {
    CHECK(golden_hash<2, 4, f16>(17, 10) == 0x753af47451379a14);
    CHECK(golden_hash<3, 7, bf16>(18, 30) == 0x88265c0c769b0ba);
    CHECK(golden_hash<5, 32, float>(5, 70) == 0x633c308e65bcc39);
    CHECK(golden_hash<1, 8, float>(33, 9) == 0xf76454a29b95bc6);
    CHECK(golden_hash<1, 1, float>(17, 3) == 0x9686778bbd3fcc2b);
    CHECK(golden_hash<1, 2, f16>(3, 6) == 0xbb3bacd9794aeaae);
}

TEST_CASE("size arithmetic counts steps, words, tiles and bytes") {
    using layout = packed::n_m<2, 4, f16>;
    STATIC_REQUIRE(layout::index_bits == 2);
    STATIC_REQUIRE(layout::steps(8) == 4);
    STATIC_REQUIRE(layout::steps(9) == 5);
    STATIC_REQUIRE(layout::steps(10) == 6);
    STATIC_REQUIRE(layout::steps(11) == 6);
    STATIC_REQUIRE(layout::index_words(32) == 1);
    STATIC_REQUIRE(layout::index_words(33) == 2);
    STATIC_REQUIRE(layout::tiles(16) == 1);
    STATIC_REQUIRE(layout::tiles(17) == 2);
    STATIC_REQUIRE(layout::n_values(17, 9) == 2 * 5 * 16);
    STATIC_REQUIRE(layout::n_indices(17, 9) == 2 * 1 * 16);
    STATIC_REQUIRE(layout::required_bytes(17, 9) == 160 * 2 + 32 * 4);
    STATIC_REQUIRE(layout::required_bytes(0, 9) == 0);
    STATIC_REQUIRE(layout::required_bytes(17, 0) == 0);
    STATIC_REQUIRE(packed::n_m<1, 2>::index_bits == 1);
    STATIC_REQUIRE(packed::n_m<3, 7>::index_bits == 3);
    STATIC_REQUIRE(packed::n_m<1, 8>::index_bits == 3);
    STATIC_REQUIRE(packed::n_m<1, 9>::index_bits == 4);
    STATIC_REQUIRE(packed::n_m<5, 32>::index_bits == 5);
    STATIC_REQUIRE(packed::n_m<32, 32>::index_bits == 0);
    STATIC_REQUIRE(packed::dense<bf16>::required_bytes(16, 100) == 16 * 100 * 2);
    STATIC_REQUIRE(packed::dense<float>::n_indices(16, 100) == 0);
}

TEST_CASE("unpack(pack(w, mask)) is w under the mask for every N:M up to 8") {
    check_all_m(std::make_integer_sequence<int, 8>{});
}

TEST_CASE("unpack(pack(w, mask)) is w under the mask for larger groups") {
    check_representatives<9>(std::make_integer_sequence<int, 24>{});
    check_round_trips<32, 32>();
}

TEST_CASE("unpack(pack(w, mask)) is w under the mask, rounded to the stored type") {
    check_round_trips<2, 4, f16>();
    check_round_trips<3, 7, bf16>();
    check_round_trips<5, 32, f16>();
    check_round_trips<1, 1, bf16>();
}

TEST_CASE("packing reads strided weights and unpacking writes them") {
    const matrix weights = matrix::uniform(9, 20, 1);  // used as (20, 9)
    bits kept(20, 9);
    matrix scores = matrix::uniform(20, 9, 2);
    select<2, 4>(scores, kept);
    owned<2, 4, float> memory(20, 9);
    const auto made =
        packed::pack<2, 4>(weights.view().transposed(), kept.view(), pare::quant::cast<float>{},
                           memory.values.span(), memory.words.span());
    REQUIRE(made);
    matrix restored(9, 20);
    REQUIRE(packed::unpack(*made, restored.view().transposed()));
    int wrong = 0;
    for (std::size_t r = 0; r < 20; ++r)
        for (std::size_t c = 0; c < 9; ++c)
            wrong += restored(c, r) != (kept(r, c) ? weights(c, r) : 0.0f);
    CHECK(wrong == 0);
}

TEST_CASE("a mask that keeps too many of a group is refused with its row") {
    for (const auto& [row, col] : {std::pair{0u, 3u}, {4u, 7u}, {18u, 9u}}) {
        const matrix weights = matrix::uniform(19, 10, 1);
        bits kept(19, 10);
        for (std::size_t r = 0; r < 19; ++r)
            for (std::size_t c = 0; c < 10; ++c) kept.view().set(r, c, c % 4 == 0);
        kept.view().set(row, col, true);
        owned<1, 4, float> memory(19, 10);
        const auto refused = memory.pack(weights, kept);
        REQUIRE_FALSE(refused);
        CHECK(refused.error().code == errc::pattern_violated);
        CHECK(refused.error().where == row);
    }
}

TEST_CASE("a kept weight that is NaN or infinite is refused, a pruned one does not matter") {
    for (const float bad :
         {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
          -std::numeric_limits<float>::infinity()}) {
        matrix weights = matrix::uniform(3, 8, 1);
        weights(2, 5) = bad;
        bits kept(3, 8);
        owned<2, 4, float> memory(3, 8);
        CHECK(memory.pack(weights, kept));
        kept.view().set(2, 5, true);
        const auto refused = memory.pack(weights, kept);
        REQUIRE_FALSE(refused);
        CHECK(refused.error().code == errc::not_a_number);
        CHECK(refused.error().where == 2);
    }
}

TEST_CASE("packing refuses a mask of another shape and memory of another size") {
    const matrix weights = matrix::uniform(3, 8, 1);
    owned<2, 4, float> memory(3, 8);
    bits narrow(3, 7), tall(4, 8), kept(3, 8);
    for (bits* mask : {&narrow, &tall}) {
        const auto refused = memory.pack(weights, *mask);
        REQUIRE_FALSE(refused);
        CHECK(refused.error().code == errc::shape_mismatch);
    }
    const auto pack = [&](std::size_t n_values, std::size_t n_indices) {
        return packed::pack<2, 4>(weights.view(), kept.view(), pare::quant::cast<float>{},
                                  memory.values.span().first(n_values),
                                  memory.words.span().first(n_indices));
    };
    CHECK(pack(64, 16));
    for (const auto& refused : {pack(63, 16), pack(64, 15), pack(0, 0)}) {
        REQUIRE_FALSE(refused);
        CHECK(refused.error().code == errc::buffer_too_small);
    }
}

TEST_CASE("unpacking into another shape is refused") {
    owned<2, 4, float> memory(3, 8);
    bits kept(3, 8);
    const auto made = memory.pack(matrix(3, 8), kept);
    REQUIRE(made);
    matrix wide(3, 9), tall(4, 8);
    for (matrix* other : {&wide, &tall}) {
        const auto refused = packed::unpack(*made, other->view());
        REQUIRE_FALSE(refused);
        CHECK(refused.error().code == errc::shape_mismatch);
    }
}

TEST_CASE("check finds every index outside its group or out of order, and looks at padding lanes") {
    // 3:7 over 30 columns: groups of 7 and a last one of 2, indices of 3 bits that may be 7.
    constexpr std::size_t rows = 18, cols = 30;
    using layout = packed::n_m<3, 7, float>;
    owned<3, 7, float> memory(rows, cols);
    bits kept(rows, cols);
    select<3, 7>(matrix::uniform(rows, cols, 1), kept);
    const auto made = memory.pack(matrix::uniform(rows, cols, 2), kept);
    REQUIRE(made);
    REQUIRE(packed::check(*made));

    int missed = 0, refused = 0;
    for (std::size_t lane = 0; lane < 32; ++lane)
        for (std::size_t s = 0; s < layout::steps(cols); ++s)
            for (std::uint32_t index = 0; index < 8; ++index) {
                const std::vector<std::uint32_t> before(memory.words.begin(), memory.words.end());
                for (std::size_t b = 0; b < 3; ++b) {
                    const std::size_t bit = s * 3 + b;
                    std::uint32_t& word = memory.words[(lane / 16 * 2 + bit / 32) * 16 + lane % 16];
                    word = (word & ~(1u << bit % 32)) | (index >> b & 1u) << bit % 32;
                }
                const std::size_t length = s < 12 ? 7 : 2;
                bool fits = index < length;
                if (lane < rows && s % 3 != 0) fits = fits && made->index(lane, s - 1) < index;
                if (lane < rows && s % 3 != 2 && s + 1 < layout::steps(cols))
                    fits = fits && index < made->index(lane, s + 1);
                const auto checked = packed::check(*made);
                missed += checked.has_value() != fits;
                if (!checked) {
                    ++refused;
                    missed += checked.error().code != errc::malformed_file ||
                              checked.error().where != lane;
                }
                std::copy(before.begin(), before.end(), memory.words.begin());
            }
    CHECK(missed == 0);
    CHECK(refused > 32 * (12 * 1 + 2 * 6));  // those outside, and some out of order
}

TEST_CASE("a layout without indices has nothing to check") {
    owned<1, 1, float> memory(3, 5);
    bits kept(3, 5, true);
    const auto made = memory.pack(matrix::uniform(3, 5, 1), kept);
    REQUIRE(made);
    CHECK(packed::check(*made));
    CHECK(made->column(2, 4) == 4);
}

TEST_CASE("a layout is a view of itself") {
    const packed::n_m<2, 4, f16> layout{};
    CHECK(&layout.view() == &layout);
    STATIC_REQUIRE(packed::weights<packed::n_m<2, 4, f16>>);
    STATIC_REQUIRE(packed::n_m_weights<packed::n_m<2, 4, f16>>);
    STATIC_REQUIRE(packed::n_m_weights<packed::dense<float>>);
    STATIC_REQUIRE(std::is_trivially_copyable_v<packed::n_m<2, 4, f16>>);
}
