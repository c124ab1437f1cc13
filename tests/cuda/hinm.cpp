// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/cuda/pack_hinm.hpp>

#include <pare/quant/cast.hpp>

#include "packed.hpp"
#include "packed/golden.hpp"
#include "support/catch.hpp"

#include <algorithm>
#include <array>
#include <type_traits>
#include <vector>

using pare::bf16, pare::errc, pare::f16;
using namespace pare::testing;
namespace cuda = pare::cuda;
namespace packed = pare::packed;

namespace {

// 17 rows in tiles of 32, all of 40 columns in descending order: compact column k is column 39 - k.
// The weight at (row, k) is row + k / 64.
struct small_tile {
    packed_memory<f16> memory;
    packed::hinm<2, 4, f16> source;

    static pare::prune::hinm_order order() {
        auto made = *pare::prune::hinm_order::make(17, 40, 32, 40);
        for (std::uint32_t k = 0; k < 40; ++k) made.columns(0)[k] = 39 - k;
        return made;
    }
    explicit small_tile(std::initializer_list<std::array<std::size_t, 2>> kept)
        : memory(packed::hinm<2, 4, f16>::n_values(packed::shape_of(order())),
                 packed::hinm<2, 4, f16>::n_words(packed::shape_of(order()))) {
        matrix weights(17, 40);
        bits mask(17, 40);
        for (const auto& [row, k] : kept) {
            weights(row, 39 - k) = static_cast<float>(row) + static_cast<float>(k) / 64.0f;
            mask.view().set(row, 39 - k, true);
        }
        source = *packed::pack<2, 4>(weights.view(), mask.view(), order(), pare::quant::cast<f16>{},
                                     memory.values.span(), memory.words.span());
    }
};

template <int V, class T>
int round_trip_errors(std::size_t rows, std::size_t cols, std::uint64_t seed) {
    const gpu_weights<V, T> weights(matrix::uniform(rows, cols, seed), seed);
    matrix restored = matrix::uniform(rows, cols, seed + 1);
    if (!packed::unpack(weights.layout, restored.view())) return -1;
    int wrong = 0;
    for (std::size_t i = 0; i < rows * cols; ++i)
        wrong += restored.data()[i] != weights.source.dense().data()[i];
    // What is stored beside them is zero.
    const auto n_not_zero = [](const auto& all) {
        return std::count_if(all.begin(), all.end(),
                             [](auto v) { return pare::to_float(v) != 0.0f; });
    };
    wrong += n_not_zero(weights.values) != n_not_zero(weights.source.values());
    for (std::size_t i = 0; i < rows; ++i)
        wrong += weights.layout.output(i) != weights.source.view().output(i);
    return wrong;
}

template <class T>
void check_round_trips() {
    std::uint64_t seed = 0;
    for (const std::size_t rows : {1u, 17u, 32u, 65u, 130u})
        for (const std::size_t cols : {1u, 2u, 3u, 4u, 63u, 64u, 65u, 200u}) {
            ++seed;
            CAPTURE(rows, cols, seed);
            CHECK(round_trip_errors<32, T>(rows, cols, seed) == 0);
            CHECK(round_trip_errors<64, T>(rows, cols, seed) == 0);
            CHECK(round_trip_errors<128, T>(rows, cols, seed) == 0);
        }
}

}  // namespace

TEST_CASE("golden bytes of a tile for the sparse tensor core") {
    // Worked out on paper from the figures of the PTX ISA. Of four columns, the two kept, lower
    // index in the lower bits: 0 1 = 0x4, 0 2 = 0x8, 1 2 = 0x9, 0 3 = 0xc, 1 3 = 0xd, 2 3 = 0xe.
    const small_tile tile({{0, 1},
                           {0, 3},  // row 0, group 0: d
                           {0, 4},
                           {0, 6},  // group 1: 8
                           {0, 17},
                           {0, 18},  // group 4, of thread 1: 9
                           {0, 32},
                           {0, 35},  // group 8, the second instruction: c
                           {8, 2},
                           {8, 3},  // row 8, the upper half of row 0's word: e
                           {1, 12},
                           {1, 14},  // row 1, group 3, of the next four lanes: 8
                           {16, 1},
                           {16, 2},  // row 16, the second pair of threads: 9
                           {9, 30},
                           {9, 31}});  // row 9, group 7: e
    std::vector<f16> values(cuda::shape_of(tile.source).n_values());
    std::vector<std::uint32_t> words(cuda::shape_of(tile.source).n_words());
    const auto made = cuda::pack(tile.source, std::span(values), std::span(words));
    REQUIRE(made);
    REQUIRE(values.size() == 2 * 2 * 32 * 8);
    REQUIRE(words.size() == 64 + 64);

    std::vector<std::uint32_t> metadata(64, 0x44444444);  // (lane, step)
    metadata[0 * 2] = 0x444e448d;
    metadata[1 * 2] = 0x44444449;
    metadata[0 * 2 + 1] = 0x4444444c;
    metadata[4 * 2] = 0x44448444;
    metadata[2 * 2] = 0x44444449;
    metadata[5 * 2] = 0xe4444444;
    for (std::size_t w = 0; w < 64; ++w) {
        CAPTURE(w);
        CHECK(words[w] == metadata[w]);
        CHECK(words[64 + w] == (w < 40 ? 39 - w : cuda::no_column));
    }

    std::vector<f16> expected(values.size());  // (step, 16 rows, lane, 8)
    const auto put = [&](std::size_t step, std::size_t tile_of_16, std::size_t lane,
                         std::size_t element, float weight) {
        expected[((step * 2 + tile_of_16) * 32 + lane) * 8 + element] =
            pare::from_float<f16>(weight);
    };
    put(0, 0, 0, 0, 1 / 64.0f);
    put(0, 0, 0, 1, 3 / 64.0f);
    put(0, 0, 1, 0, 4 / 64.0f);
    put(0, 0, 1, 1, 6 / 64.0f);
    put(0, 0, 0, 4, 17 / 64.0f);
    put(0, 0, 0, 5, 18 / 64.0f);
    put(1, 0, 0, 0, 32 / 64.0f);
    put(1, 0, 0, 1, 35 / 64.0f);
    put(0, 0, 0, 2, 8 + 2 / 64.0f);
    put(0, 0, 0, 3, 8 + 3 / 64.0f);
    put(0, 0, 7, 0, 1 + 12 / 64.0f);
    put(0, 0, 7, 1, 1 + 14 / 64.0f);
    put(0, 1, 0, 0, 16 + 1 / 64.0f);
    put(0, 1, 0, 1, 16 + 2 / 64.0f);
    put(0, 0, 7, 6, 9 + 30 / 64.0f);
    put(0, 0, 7, 7, 9 + 31 / 64.0f);
    CHECK(std::equal(values.begin(), values.end(), expected.begin()));
}

TEST_CASE("columns kept whole go two to a group of four") {
    // Five dense columns, then 2:4 of six.
    constexpr packed::hinm_shape shape{32, 11, 32, 11, 5, true};
    STATIC_REQUIRE(cuda::shape_of(shape) == cuda::hinm_shape{32, 11, 32, 1, true});
    const auto order = golden_order(shape);
    bits mask(32, 11);
    golden_select<2, 4>(order, mask);
    using layout = packed::hinm<2, 4, f16>;
    packed_memory<f16> memory(layout::n_values(shape), layout::n_words(shape));
    const auto source =
        packed::pack<2, 4>(golden_weights(32, 11).view(), mask.view(), order,
                           pare::quant::cast<f16>{}, memory.values.span(), memory.words.span());
    REQUIRE(source);
    std::vector<f16> values(cuda::shape_of(*source).n_values());
    std::vector<std::uint32_t> words(cuda::shape_of(*source).n_words());
    const auto made = cuda::pack(*source, std::span(values), std::span(words));
    REQUIRE(made);

    constexpr auto none = cuda::no_column;
    const auto all = order.columns(0);
    const std::vector<std::uint32_t> expected{
        all[0], all[1], none,   none,   all[2], all[3], none,   none,    all[4], none,
        none,   none,   all[5], all[6], all[7], all[8], all[9], all[10], none};
    CHECK(std::equal(expected.begin(), expected.end(), made->columns));
    matrix restored(32, 11);
    REQUIRE(packed::unpack(*made, restored.view()));
    CHECK(restored.data() == unpacked(*source).data());
}

TEST_CASE("weights come back from the layout of the sparse tensor core bit by bit, f16") {
    check_round_trips<f16>();
}

TEST_CASE("weights come back from the layout of the sparse tensor core bit by bit, bf16") {
    check_round_trips<bf16>();
}

TEST_CASE("size arithmetic of hinm for a GPU counts slabs, words and bytes") {
    // The example of docs/formats.md.
    constexpr cuda::hinm_shape large =
        cuda::shape_of(packed::hinm_shape{4096, 4096, 64, 2048, 0, false});
    STATIC_REQUIRE(large == cuda::hinm_shape{4096, 4096, 64, 32, false});
    STATIC_REQUIRE(large.n_values() == 4096 * 1024);
    STATIC_REQUIRE(large.n_metadata() == 4096 * 64);
    STATIC_REQUIRE(large.n_columns() == 64 * 2048);
    STATIC_REQUIRE(large.n_words() == 4096 * 64 + 64 * 2048 + 4096);
    STATIC_REQUIRE(cuda::shape_of(packed::hinm_shape{33, 70, 32, 65, 0, true}) ==
                   cuda::hinm_shape{33, 70, 32, 2, true});
    STATIC_REQUIRE(cuda::hinm<f16>{{33, 70, 32, 2, true}}.required_bytes() ==
                   2 * 2 * 32 * 32 * 2 + 4 * (2 * 2 * 64 + 2 * 128));
    STATIC_REQUIRE(std::is_trivially_copyable_v<cuda::hinm<bf16>>);
}

TEST_CASE("packing for a GPU refuses other tiles and memory of another size") {
    const hinm_matrix<2, 4, 48, f16> odd(matrix::uniform(50, 30, 1), 2);
    std::vector<f16> values(cuda::shape_of(odd.view()).n_values());
    std::vector<std::uint32_t> words(cuda::shape_of(odd.view()).n_words());
    const auto refused = cuda::pack(odd.view(), std::span(values), std::span(words));
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == errc::invalid_argument);

    const gpu_weights<64, bf16> sound(matrix::uniform(50, 30, 1), 2);
    auto more_values = sound.values;
    auto more_words = sound.words;
    const auto code = [&](std::size_t n_values, std::size_t n_words) {
        more_values.resize(n_values);
        more_words.resize(n_words);
        const auto made =
            cuda::pack(sound.source.view(), std::span(more_values), std::span(more_words));
        REQUIRE_FALSE(made);
        return made.error().code;
    };
    const std::size_t n_values = sound.values.size(), n_words = sound.words.size();
    CHECK(code(n_values - 1, n_words) == errc::buffer_too_small);
    CHECK(code(n_values + 1, n_words) == errc::buffer_too_small);
    CHECK(code(n_values, n_words - 1) == errc::buffer_too_small);
}

TEST_CASE("hinm for a GPU may lie in other memory, and is a view of itself") {
    const gpu_weights<32, f16> weights(matrix::uniform(50, 30, 1), 2);
    const auto values = weights.values;
    const auto words = weights.words;
    const auto moved = weights.layout.over(values.data(), words.data());
    CHECK(unpacked(moved).data() == weights.source.dense().data());
    CHECK(&moved.view() == &moved);
}
