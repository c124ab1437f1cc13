// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/packed/pack_block.hpp>

#include <pare/quant/cast.hpp>

#include "golden.hpp"
#include "support/catch.hpp"
#include "support/layouts.hpp"
#include "support/matrix.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>
#include <vector>

using pare::bf16, pare::errc, pare::f16;
using namespace pare::testing;
namespace packed = pare::packed;

namespace {

template <int B, class T>
struct owned : packed_memory<T> {
    using layout = packed::block<B, T>;

    explicit owned(const packed::block_shape& s)
        : packed_memory<T>(layout::n_values(s), layout::n_words(s)) {}

    pare::result<layout> pack(const matrix& weights, bits& kept) {
        this->spoil();
        return packed::pack<B>(weights.view(), kept.view(), pare::quant::cast<T>{},
                               this->values.span(), this->words.span());
    }
};

// --- Golden bytes -------------------------------------------------------------------------------

template <int B, class T>
std::uint64_t golden_hash(std::size_t rows, std::size_t cols) {
    bits kept(rows, cols);
    golden_select<B>(kept, rows, cols);
    const auto shape = packed::shape_of<B>(kept.view());
    REQUIRE(shape);
    owned<B, T> memory(*shape);
    REQUIRE(memory.pack(golden_weights(rows, cols), kept));
    return memory.hash();
}

// --- Round trips --------------------------------------------------------------------------------

template <int B, class T>
int round_trip_errors(std::size_t rows, std::size_t cols, double density, std::uint64_t seed) {
    const matrix weights = matrix::uniform(rows, cols, seed);
    bits kept(rows, cols);
    select_any_blocks<B>(kept, density, seed);
    const auto shape = packed::shape_of<B>(kept.view());
    if (!shape) return -1;
    owned<B, T> memory(*shape);
    const auto made = memory.pack(weights, kept);
    return made ? memory.errors(*made, weights, kept) : -1;
}

template <int B, class T>
void check_round_trips() {
    std::uint64_t seed = 0;
    for (const std::size_t rows : {1u, 3u, 8u, 17u, 33u, 64u, 130u})
        for (const std::size_t cols : {1u, 2u, 31u, 130u, 1023u, 1024u, 1025u, 2050u})
            for (const double density : {0.0, 0.05, 0.4, 1.0}) {
                CAPTURE(B, rows, cols, density);
                CHECK(round_trip_errors<B, T>(rows, cols, density, ++seed) == 0);
            }
}

// A layer of two blocks: rows 1 to 4 of column 2, rows 3 to 6 of column 0; 7 rows, 3 columns.
struct small {
    static constexpr packed::block_shape shape{7, 3, 2};
    matrix weights = matrix::integers(7, 3, 9, 1);
    bits kept{7, 3};
    owned<4, float> memory{shape};

    small() {
        keep(kept, 2, 1, 4);
        keep(kept, 0, 3, 4);
    }
    packed::block<4> made() {
        const auto packed = memory.pack(weights, kept);
        REQUIRE(packed);
        return *packed;
    }
    // check() after words[i] was given another value.
    bool passes_with(std::size_t i, std::uint32_t word) {
        const auto layout = made();
        memory.words[i] = word;
        const auto ok = packed::check(layout);
        if (!ok) CHECK(ok.error().code == errc::malformed_file);
        return ok.has_value();
    }
};

}  // namespace

TEST_CASE("block weights have the golden bytes") {
    CHECK(golden_hash<4, float>(37, 29) == 0x30c73a0001a27dc7);
    CHECK(golden_hash<8, f16>(50, 1030) == 0x857583b8c707bd97);
    CHECK(golden_hash<16, bf16>(45, 7) == 0x1a3fd25d5edbfcc9);
    CHECK(golden_hash<32, float>(131, 2049) == 0x5be0d39581954ba4);
}

TEST_CASE_METHOD(small,
                 "a weight lies in the slot of its row, a block behind those that begin above") {
    const auto layout = made();
    REQUIRE(layout.n_blocks == 2);
    for (std::size_t r = 1; r < 5; ++r) CHECK(layout.values[r % 4] == weights(r, 2));
    for (std::size_t r = 3; r < 7; ++r) CHECK(layout.values[4 + r % 4] == weights(r, 0));
    const std::vector<std::uint32_t> words(memory.words.begin(), memory.words.end());
    CHECK(words == std::vector<std::uint32_t>{0, 0, 1, 1, 2, 2, 2, 2, 2});  // columns 2, 0
}

TEST_CASE("the size of block weights is exact") {
    using layout = packed::block<8, f16>;
    constexpr packed::block_shape s{4096, 4096, 524288};  // 75 % sparse
    STATIC_REQUIRE(s.n_bands() == 4);
    STATIC_REQUIRE(layout::n_values(s) == 524288 * 8);
    STATIC_REQUIRE(layout::n_words(s) == 4 * 4096 + 1 + 262144);
    STATIC_REQUIRE(layout::required_bytes(s) == 524288 * 16 + (4 * 4096 + 1 + 262144) * 4);
    STATIC_REQUIRE(packed::block_shape{3, 1025, 5}.cols_of(1) == 1);
    STATIC_REQUIRE(packed::block_shape{3, 1025, 5}.column_words() == 3);
}

TEST_CASE("unpack(pack(w, mask)) of blocks is w under the mask") {
    check_round_trips<4, float>();
    check_round_trips<8, f16>();
    check_round_trips<16, bf16>();
    check_round_trips<32, float>();
}

TEST_CASE_METHOD(small, "pack refuses kept rows that are no blocks, and says where") {
    const auto refusal = [&] {
        const auto sized = packed::shape_of<4>(kept.view());
        REQUIRE_FALSE(sized);
        const auto refused = memory.pack(weights, kept);
        REQUIRE_FALSE(refused);
        CHECK(refused.error().code == errc::pattern_violated);
        CHECK(refused.error().where == sized.error().where);
        return sized.error().where;
    };
    kept.view().set(0, 1, true);
    CHECK(refusal() == 1);
    kept.view().set(0, 1, false);
    kept.view().set(0, 2, true);  // a run of five
    CHECK(refusal() == 2);
    kept.view().set(0, 2, false);
    kept.view().set(6, 1, true);  // cut short by the last row
    CHECK(packed::shape_of<4>(kept.view())->n_blocks == 3);
}

TEST_CASE_METHOD(small,
                 "pack refuses weights that are no numbers, other shapes and too little memory") {
    const auto refusal = [&](const matrix& w, std::size_t n_values, std::size_t n_words) {
        const auto refused = packed::pack<4>(w.view(), kept.view(), pare::quant::cast<float>{},
                                             memory.values.span().first(n_values),
                                             memory.words.span().first(n_words));
        REQUIRE_FALSE(refused);
        return refused.error().code;
    };
    CHECK(refusal(matrix(7, 4), 8, 9) == errc::shape_mismatch);
    CHECK(refusal(weights, 7, 9) == errc::buffer_too_small);
    CHECK(refusal(weights, 8, 8) == errc::buffer_too_small);
    weights(6, 0) = std::numeric_limits<float>::infinity();
    CHECK(refusal(weights, 8, 9) == errc::not_a_number);
    weights(6, 0) = 1.0f;
    weights(0, 0) = std::numeric_limits<float>::quiet_NaN();  // not kept
    CHECK(memory.pack(weights, kept));
}

TEST_CASE_METHOD(small, "check refuses starts and columns that a kernel could not follow") {
    REQUIRE(packed::check(made()));
    CHECK_FALSE(passes_with(0, 1));
    CHECK_FALSE(passes_with(7, 3));             // more blocks than there are
    CHECK_FALSE(passes_with(7, 1));             // fewer
    CHECK_FALSE(passes_with(3, 0));             // descends
    CHECK_FALSE(passes_with(3, 0xffffffff));    // beyond the end in between
    CHECK_FALSE(passes_with(8, 3));             // a column that does not exist
    CHECK_FALSE(passes_with(8, 2u << 16 | 2));  // rows 3 and 4 of column 2 twice
    CHECK(passes_with(8, 1u << 16 | 2));
    CHECK_FALSE(passes_with(2, 2));  // both begin in row 1, columns 2 and 0
}
