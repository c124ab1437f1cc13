// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/packed/coded.hpp>

#include <pare/packed/n_m.hpp>
#include <pare/packed/pack_block.hpp>
#include <pare/packed/pack_hinm.hpp>
#include <pare/prune/n_m.hpp>
#include <pare/quant/scaled.hpp>

#include "golden.hpp"
#include "support/catch.hpp"
#include "support/layouts.hpp"
#include "support/matrix.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <type_traits>
#include <utility>

using pare::code_e4m3, pare::code_e5m2, pare::code_i2, pare::code_i4, pare::code_i8, pare::code_nf4;
using pare::errc;
using namespace pare::testing;
namespace packed = pare::packed;
namespace quant = pare::quant;
using packed::coded;

namespace {

constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();
constexpr float largest = std::numeric_limits<float>::max();
constexpr float infinity = std::numeric_limits<float>::infinity();
using memory_of_codes = packed_memory<std::uint32_t>;

// --- A kind of layout each: the mask that a seed draws, sizes, packing --------------------------

template <int N, int M>
struct n_m {
    template <class T>
    using layout = packed::n_m<N, M, T>;
    bits kept;

    n_m(std::size_t rows, std::size_t cols, std::uint64_t seed) : kept(rows, cols) {
        pare::prune::n_m<N, M>{}.select(matrix::uniform(rows, cols, seed).view(), kept.view());
    }
    template <class T>
    memory_of_codes memory() {
        const std::size_t rows = kept.view().rows(), cols = kept.view().cols();
        return {layout<T>::n_values(rows, cols), layout<T>::n_words(rows, cols)};
    }
    template <class Codec>
    auto pack(const matrix& weights, const Codec& codec, memory_of_codes& to) {
        return packed::pack<N, M>(weights.view(), kept.view(), codec, to.values.span(),
                                  to.words.span());
    }
};

template <int N, int M, int V>
struct hinm {
    template <class T>
    using layout = packed::hinm<N, M, T>;
    pare::prune::hinm_order order;
    bits kept;

    hinm(pare::prune::hinm_order any, bits none) : order(std::move(any)), kept(std::move(none)) {}
    hinm(std::size_t rows, std::size_t cols, std::uint64_t seed)
        : order(any_order(rows, cols, V, seed)), kept(rows, cols) {
        select_any<N, M>(order, kept, seed);
    }
    template <class T>
    memory_of_codes memory() {
        const auto shape = packed::shape_of(order);
        return {layout<T>::n_values(shape), layout<T>::n_words(shape)};
    }
    template <class Codec>
    auto pack(const matrix& weights, const Codec& codec, memory_of_codes& to) {
        return packed::pack<N, M>(weights.view(), kept.view(), order, codec, to.values.span(),
                                  to.words.span());
    }
};

template <int B>
struct block {
    template <class T>
    using layout = packed::block<B, T>;
    bits kept;

    explicit block(bits none) : kept(std::move(none)) {}
    block(std::size_t rows, std::size_t cols, std::uint64_t seed) : kept(rows, cols) {
        select_any_blocks<B>(kept, 0.4, seed);
    }
    template <class T>
    memory_of_codes memory() {
        const auto shape = *packed::shape_of<B>(kept.view());
        return {layout<T>::n_values(shape), layout<T>::n_words(shape)};
    }
    template <class Codec>
    auto pack(const matrix& weights, const Codec& codec, memory_of_codes& to) {
        return packed::pack<B>(weights.view(), kept.view(), codec, to.values.span(),
                               to.words.span());
    }
};

// --- Golden bytes -------------------------------------------------------------------------------

/// A scale and a zero point that anyone computes exactly: the least power of two, of 2^-12 and
/// more, that covers the weights; of the largest size, in quarters, the rest by 3, less 1.
template <class T>
struct golden_codec {
    using value_type = T;

    packed::grid fit(std::span<const float> weights) const noexcept {
        float most = 0.0f, scale = 0x1p-12f;
        for (const float w : weights) most = std::max(most, std::fabs(w));
        if (most == 0.0f) return {};
        while (scale * T::code::largest < most) scale *= 2.0f;
        return {scale, T::asymmetric ? static_cast<int>(4.0f * most) % 3 - 1 : 0};
    }
};

template <class T>
std::uint64_t golden_hash(auto&& kind) {
    auto memory = kind.template memory<T>();
    const auto made = kind.pack(golden_weights(kind.kept.view().rows(), kind.kept.view().cols()),
                                golden_codec<T>{}, memory);
    REQUIRE(made);
    CHECK(made->required_bytes() == 4 * (memory.values.size() + memory.words.size()));
    CHECK(memory.intact());
    return memory.hash();
}

template <int N, int M, class T>
std::uint64_t golden_n_m(std::size_t rows, std::size_t cols) {
    n_m<N, M> kind(rows, cols, 0);
    golden_select<N, M>(rows, cols, kind.kept);
    return golden_hash<T>(kind);
}

template <int N, int M, int V, class T>
std::uint64_t golden_hinm(const packed::hinm_shape& shape) {
    hinm<N, M, V> kind(golden_order(shape), bits(shape.rows, shape.cols));
    golden_select<N, M>(kind.order, kind.kept);
    return golden_hash<T>(kind);
}

template <int B, class T>
std::uint64_t golden_block(std::size_t rows, std::size_t cols) {
    block<B> kind(bits(rows, cols));
    golden_select<B>(kind.kept, rows, cols);
    return golden_hash<T>(kind);
}

// --- Round trips --------------------------------------------------------------------------------

/// How far the number nearest to w may lie, of weights whose scale covers `most` and is rounded up
/// to a bf16.
template <class T>
float half_step(float w, float most) {
    const float scale = most / T::code::largest * 1.0079f;
    using code = typename T::code;
    if constexpr (std::is_same_v<code, code_nf4>) return 0.152f * scale;
    else if constexpr (pare::integer_code<code>) return 0.5001f * scale;
    else
        return std::max(std::fabs(w) * std::ldexp(1.0f, -1 - code::fraction_bits),
                        scale * code::decode(1) / 2);
}

template <class T>
void check_round_trip(auto kind) {
    const std::size_t rows = kind.kept.view().rows(), cols = kind.kept.view().cols();
    matrix weights = matrix::uniform(rows, cols, rows + cols), restored(rows, cols);
    for (std::size_t r = 0; r < rows; ++r)  // a scale of another row would be seen
        for (std::size_t c = 0; c < cols; ++c)
            weights(r, c) *= std::ldexp(1.0f, static_cast<int>(r % 5) * 3);
    auto memory = kind.template memory<T>();
    const auto made = kind.pack(weights, codec_for<T>{}, memory);
    CAPTURE(packed::storage_name<T>(), rows, cols);
    REQUIRE(made);
    REQUIRE(packed::check(*made));
    REQUIRE(packed::unpack(*made, restored.view()));
    CHECK(memory.intact());
    int wrong = 0;
    for (std::size_t r = 0; r < rows; ++r) {
        float most = 0.0f;
        for (std::size_t c = 0; c < cols; ++c)
            if (kind.kept(r, c)) most = std::max(most, std::fabs(weights(r, c)));
        for (std::size_t c = 0; c < cols; ++c)
            wrong += !(std::fabs(restored(r, c) - (kind.kept(r, c) ? weights(r, c) : 0.0f)) <=
                       (kind.kept(r, c) ? half_step<T>(weights(r, c), most) : 0.0f));
    }
    CHECK(wrong == 0);
}

template <class Kind, class... T>
void check_round_trips() {
    for (const std::size_t rows : {1u, 16u, 37u})
        for (const std::size_t cols : {1u, 31u, 130u, 515u})
            (check_round_trip<T>(Kind(rows, cols, rows + cols)), ...);
}

// --- What is refused ----------------------------------------------------------------------------

template <class Codec>
void check_refusals(auto kind) {
    using T = typename Codec::value_type;
    const std::size_t rows = kind.kept.view().rows(), cols = kind.kept.view().cols();
    std::size_t row = rows - 1, pruned = 0, stored = 0;
    for (std::size_t c = 0; c < cols; ++c) (kind.kept(row, c) ? stored : pruned) = c;
    auto memory = kind.template memory<T>();
    for (const float bad : {largest, -largest, infinity, -infinity, not_a_number}) {
        matrix weights = matrix::uniform(rows, cols, 1);
        weights(row, pruned) = bad;
        CHECK((kind.kept(row, pruned) || kind.pack(weights, Codec{}, memory)));
        weights(row, stored) = bad;
        const auto refused = kind.pack(weights, Codec{}, memory);
        REQUIRE_FALSE(refused);
        CHECK(refused.error().code == errc::not_a_number);
    }
}

/// check() with each half of each word of scales replaced: those that `is_grid` says are one must
/// be refused, the others are not looked at.
template <class T>
void check_scales(auto kind, std::size_t first_word, std::size_t n_words, auto is_grid) {
    auto memory = kind.template memory<T>();
    const auto made =
        kind.pack(matrix::uniform(kind.kept.view().rows(), kind.kept.view().cols(), 1),
                  codec_for<T>{}, memory);
    REQUIRE(made);
    int missed = 0, refused = 0;
    const auto passes_with = [&](std::size_t i, std::uint32_t word) {
        const std::uint32_t before = std::exchange(memory.words[i], word);
        const auto ok = packed::check(*made);
        memory.words[i] = before;
        refused += !ok;
        return ok.has_value();
    };
    for (std::size_t w = 0; w < n_words; ++w)
        for (const std::size_t half : {0u, 1u}) {
            if (T::asymmetric && half == 0) continue;
            for (const std::uint32_t scale : {0x7fc0u, 0x7f80u, 0xff80u, 0xbf80u, 0x8001u}) {
                const std::size_t i = first_word + w;
                const std::uint32_t other = memory.words[i] & (half == 0 ? 0xffff0000u : 0xffffu);
                missed += passes_with(i, other | scale << (16 * half)) == is_grid(w, half);
            }
        }
    if (T::asymmetric)
        for (std::size_t i = first_word; i < first_word + n_words; ++i)
            for (const std::uint32_t zero : {7u, 8u, 0xfff8u, 0xfff7u, 0x0107u})
                missed += passes_with(i, (memory.words[i] & 0xffff0000u) | zero) !=
                          (zero == 7 || zero == 0xfff8);
    CHECK(missed == 0);
    CHECK(refused > 0);
    CHECK(packed::check(*made));
}

}  // namespace

TEST_CASE("golden bytes of coded weights") {
    CHECK(golden_n_m<2, 4, coded<code_i8>>(17, 10) == 0x2b5c7c3e66dd7769);
    CHECK(golden_n_m<3, 7, coded<code_i4, 32, true>>(18, 100) == 0xc0176a89f8759332);
    CHECK(golden_n_m<1, 1, coded<code_nf4, 64>>(3, 130) == 0x546ff2ad47a41c44);
    CHECK(golden_n_m<1, 1, coded<code_i2>>(33, 40) == 0xe05e278c612b762f);
    CHECK(golden_n_m<5, 32, coded<code_e5m2, 32>>(5, 270) == 0x8158fb0f434ec685);
    CHECK(golden_n_m<1, 4, coded<code_i8, 0, true>>(5, 70) == 0x4daffc59d6042a2b);
    CHECK(golden_hinm<2, 4, 24, coded<code_i4, 32>>({37, 101, 24, 90, 40, false}) ==
          0xdd5a61975f98c374);
    CHECK(golden_hinm<1, 4, 4, coded<code_e4m3>>({20, 33, 4, 15, 0, true}) == 0x60f5cf0a3f59ad49);
    CHECK(golden_block<8, coded<code_e4m3>>(50, 1030) == 0x48f54a983a04b4d0);
    CHECK(golden_block<4, coded<code_i4, 32, true>>(37, 70) == 0x2f52210709ac541b);
    CHECK(golden_block<16, coded<code_i2, 64>>(45, 131) == 0x4c073e2ac1899ca4);
}

TEST_CASE("golden bytes of a row of codes") {
    // 18 columns of dense i4: 1 to 7, -1 to -7, 1 to 4; the scale is 1.
    matrix weights(1, 18);
    for (int c = 0; c < 18; ++c)
        weights(0, static_cast<std::size_t>(c)) =
            static_cast<float>(c < 14 ? c % 7 + 1 : c - 13) * (c / 7 == 1 ? -1.0f : 1.0f);
    n_m<1, 1> kind(1, 18, 0);
    auto memory = kind.memory<coded<code_i4, 32>>();
    REQUIRE(kind.pack(weights, codec_for<coded<code_i4, 32>>{}, memory));
    // Words 0 and 1 hold steps 0 to 15: in byte b the steps 4 b and 4 b + 1, and the two after.
    CHECK(memory.has_only({{0, 0, 0x9a'de'65'21u}, {1, 0, 0x21'bc'f7'43u}, {2, 0, 0x43u}},
                          {{0, 0, 0x3f80}}));
}

TEST_CASE("coded weights come back within half a step, the others as zero") {
    check_round_trips<n_m<2, 4>, coded<code_i4, 32>, coded<code_i8, 0, true>, coded<code_e4m3>>();
    check_round_trips<n_m<3, 7>, coded<code_i4, 64, true>, coded<code_e5m2, 32>>();
    check_round_trips<n_m<1, 1>, coded<code_i8>, coded<code_i2, 32>, coded<code_nf4>>();
    check_round_trips<hinm<2, 4, 24>, coded<code_nf4, 64>, coded<code_i4, 32, true>>();
    check_round_trips<block<8>, coded<code_e4m3>, coded<code_i4, 32, true>>();
    check_round_trips<block<4>, coded<code_i2, 64>>();
}

TEST_CASE("the size of coded weights is exact") {
    constexpr std::size_t n = 4096;
    const auto bits_of = [](std::size_t bytes) { return static_cast<double>(bytes) * 8 / (n * n); };
    CHECK(bits_of(packed::n_m<2, 4, coded<code_i4, 32>>::required_bytes(n, n)) == 3.25);
    CHECK(bits_of(packed::n_m<2, 4, coded<code_i8>>::required_bytes(n, n)) == 5.0 + 32.0 / n);
    CHECK(bits_of(packed::dense<coded<code_i4, 128>>::required_bytes(n, n)) == 4.125);
    CHECK(bits_of(packed::dense<coded<code_i4, 128, true>>::required_bytes(n, n)) == 4.25);
    // 44 steps of 3:7 fill two times 32; 18 rows two tiles.
    using odd = packed::n_m<3, 7, coded<code_i4, 32>>;
    STATIC_REQUIRE(odd::steps(100) == 44);
    STATIC_REQUIRE(odd::n_values(18, 100) == 2 * 8 * 16);
    STATIC_REQUIRE(odd::n_indices(18, 100) == 2 * 6 * 16);
    STATIC_REQUIRE(odd::n_scales(18, 100) == 2 * 1 * 16);
    STATIC_REQUIRE(odd::n_words(0, 100) == 0);
    STATIC_REQUIRE(odd::n_words(18, 0) == 0);
    // 75 % sparse.
    using blocks = packed::block<8, coded<code_e4m3>>;
    constexpr packed::block_shape s{n, n, 524288};
    STATIC_REQUIRE(blocks::n_values(s) == 524288 * 2);
    STATIC_REQUIRE(blocks::n_scales(s) == n / 2);
    STATIC_REQUIRE(packed::block<4, coded<code_i2>>::n_values({7, 3, 5}) == 2);  // 40 bits
    STATIC_REQUIRE(packed::block<4, coded<code_i4, 32, true>>::n_scales({7, 70, 5}) == 21);
    STATIC_REQUIRE(packed::block<4, coded<code_i4, 32>>::n_scales({7, 70, 5}) == 11);
}

TEST_CASE("a kept weight that has no code is refused, a pruned one does not matter") {
    check_refusals<quant::int8<>>(n_m<2, 4>(19, 40, 1));
    check_refusals<quant::int8<quant::per_tensor>>(n_m<2, 4>(19, 40, 1));
    check_refusals<quant::nf4<quant::per_group<32>, quant::mse>>(n_m<2, 4>(19, 40, 1));
    check_refusals<quant::uint4<>>(hinm<2, 4, 8>(19, 40, 1));
    check_refusals<quant::uint4<quant::per_tensor>>(hinm<2, 4, 8>(19, 40, 1));
    check_refusals<quant::e4m3<quant::per_group<32>>>(block<8>(24, 40, 1));
    check_refusals<quant::e4m3<quant::per_tensor>>(block<8>(24, 40, 1));
}

namespace {

/// Any scale, as a codec of someone else may give.
struct given_scale {
    using value_type = coded<code_i8>;
    packed::grid of;
    packed::grid fit(std::span<const float> /*weights*/) const noexcept { return of; }
};

}  // namespace

TEST_CASE("codes are those of the scale that is stored") {
    n_m<1, 1> kind(1, 1, 0);
    auto memory = kind.memory<coded<code_i8>>();
    // 0.3 is cut to the bf16 0.298828125; 37.9 is 126.8 of those, 126.3 of 0.3.
    const auto made = kind.pack(matrix(1, 1, {37.9f}), given_scale{{0.3f}}, memory);
    REQUIRE(made);
    CHECK(made->code(0, 0) == 127);
    CHECK(made->value(0, 0) == 127 * 0.298828125f);
    for (const float scale : {-1.0f, infinity, not_a_number, 2e36f})
        CHECK_FALSE(kind.pack(matrix(1, 1, {1.0f}), given_scale{{scale}}, memory));
}

TEST_CASE("check refuses scales and zero points that no kernel could use") {
    const auto all = [](std::size_t, std::size_t) { return true; };
    {  // two groups of 44 steps, padding rows included
        using T = coded<code_i4, 32>;
        using layout = packed::n_m<3, 7, T>;
        check_scales<T>(n_m<3, 7>(18, 100, 1), layout::n_indices(18, 100),
                        layout::n_scales(18, 100), all);
    }
    {  // three groups: the upper half of every second word is none
        using T = coded<code_nf4, 32>;
        check_scales<T>(n_m<1, 1>(3, 70, 1), 0, 32,
                        [](std::size_t w, std::size_t half) { return w < 16 || half == 0; });
    }
    {
        using T = coded<code_i4, 0, true>;
        hinm<2, 4, 24> kind(37, 60, 2);  // of which some columns are dense
        REQUIRE(kind.order.dense() > 0);
        const auto s = packed::shape_of(kind.order);
        const std::size_t first = packed::hinm<2, 4, T>::n_indices(s);
        check_scales<T>(std::move(kind), first, packed::hinm<2, 4, T>::list_words(s) - first, all);
    }
    {  // 3 x 7 scales of blocks, the last word half used
        using T = coded<code_e4m3, 32>;
        block<4> kind(7, 70, 1);
        const auto s = *packed::shape_of<4>(kind.kept.view());
        check_scales<T>(std::move(kind), s.list_words(), 11,
                        [](std::size_t w, std::size_t half) { return w < 10 || half == 0; });
    }
}
