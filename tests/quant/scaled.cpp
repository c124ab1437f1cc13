// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/quant/scaled.hpp>

#include <pare/packed/n_m.hpp>

#include "support/catch.hpp"
#include "support/matrix.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <tuple>
#include <vector>

using pare::code_e4m3, pare::code_e5m2, pare::code_i2, pare::code_i4, pare::code_i8, pare::code_nf4;
using pare::errc;
using namespace pare::testing;
namespace packed = pare::packed;
namespace quant = pare::quant;

namespace {

using stored_types =
    std::tuple<packed::coded<code_i8>, packed::coded<code_i8, 0, true>, packed::coded<code_i4>,
               packed::coded<code_i4, 0, true>, packed::coded<code_i2, 0, true>,
               packed::coded<code_nf4>, packed::coded<code_e4m3>, packed::coded<code_e5m2>>;

/// Of both signs, of one, far from 0, with an outlier, alone.
std::vector<std::vector<float>> samples() {
    std::vector<std::vector<float>> all;
    const auto add = [&](float times, float plus) {
        all.push_back(matrix::uniform(1, 100, all.size()).data());
        for (float& w : all.back()) w = times * w + plus;
    };
    add(1.0f, 0.0f), add(0.5f, 0.5f), add(3.0f, -3.0f), add(0.1f, 1.0f), add(1e-10f, 0.0f);
    add(1.0f, 0.0f);
    all.back()[7] = 20.0f;
    for (const float alone : {1.0f, -0.3f, 1e30f, -1e-20f}) all.push_back({alone});
    return all;
}

template <class T>
float stored(float weight, const packed::grid& of) {
    return T::weight(T::encode(weight, of), of);
}

template <class T>
double squared_error(std::span<const float> weights, const packed::grid& of) {
    double sum = 0.0;
    for (const float w : weights) sum += std::pow(static_cast<double>(w - stored<T>(w, of)), 2);
    return sum;
}

/// How many weights have a code nearer than theirs; of one that is as near but for rounding none.
template <class T>
int not_nearest(std::span<const float> weights, const packed::grid& of) {
    int wrong = 0;
    for (const float w : weights) {
        const auto distance = [&](std::uint8_t code) {
            return std::fabs(static_cast<double>(T::weight(code, of)) - static_cast<double>(w));
        };
        const double got = distance(T::encode(w, of));
        for (unsigned code = 0; code < 1u << T::bits; ++code)
            wrong += distance(static_cast<std::uint8_t>(code)) <
                     got - 1e-5 * static_cast<double>(of.scale) -
                         1e-6 * std::fabs(static_cast<double>(w));
    }
    return wrong;
}

/// The grid of each row of a 2 x 64 matrix, dense and packed by this codec.
template <class Codec>
std::vector<packed::grid> grids_of(const matrix& weights) {
    using layout = packed::dense<typename Codec::value_type>;
    bits kept(weights.rows(), weights.cols(), true);
    std::vector<std::uint32_t> values(layout::n_values(weights.rows(), weights.cols()));
    std::vector<std::uint32_t> words(layout::n_words(weights.rows(), weights.cols()));
    const auto made = packed::pack<1, 1>(weights.view(), kept.view(), Codec{}, std::span(values),
                                         std::span(words));
    REQUIRE(made);
    std::vector<packed::grid> grids;
    for (std::size_t r = 0; r < weights.rows(); ++r)
        for (std::size_t g = 0; g < Codec::value_type::n_groups(weights.cols()); ++g)
            grids.push_back(made->grid_of(r, g));
    return grids;
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("absmax covers all weights, and every weight gets the code nearest to it",
                        "", stored_types) {
    using T = TestType;
    for (const auto& weights : samples()) {
        const packed::grid of = quant::absmax{}.fit<T>(weights);
        CAPTURE(packed::storage_name<T>(), weights[0], of.scale, of.zero);
        REQUIRE(T::is_sound(of));
        CHECK((std::bit_cast<std::uint32_t>(of.scale) & 0xffffu) == 0);
        // Within half a step, or what the code's own numbers leave; scales are not too large.
        CHECK(not_nearest<T>(weights, of) == 0);
        const auto [low, high] = std::minmax_element(weights.begin(), weights.end());
        const float most = std::max(std::fabs(*low), std::fabs(*high));
        const float span = std::max(*high, 0.0f) - std::min(*low, 0.0f);
        if constexpr (T::asymmetric) {
            const float steps = T::code::largest - static_cast<float>(T::code::least);
            CHECK(of.scale * steps >= span * 0.9999f);
            CHECK(of.scale * steps <= span * 1.0079f);  // a bf16 above
            for (const float end : {*low, *high})
                CHECK(std::fabs(stored<T>(end, of) - end) <= 0.5001f * of.scale);
        } else {
            CHECK(of.scale * T::code::largest >= most * 0.9999f);
            CHECK(of.scale * T::code::largest <= most * 1.0079f);
        }
        CHECK(std::bit_cast<std::uint32_t>(stored<T>(0.0f, of)) == 0);
    }
}

TEMPLATE_LIST_TEST_CASE(
    "mse is nowhere worse than absmax, and better where a few weights are large", "",
    stored_types) {
    using T = TestType;
    for (const auto& weights : samples()) {
        const auto whole = quant::absmax{}.fit<T>(weights), cut = quant::mse{}.fit<T>(weights);
        CAPTURE(packed::storage_name<T>(), weights[0]);
        CHECK(T::is_sound(cut));
        CHECK(squared_error<T>(weights, cut) <= squared_error<T>(weights, whole) * (1 + 1e-6));
        CHECK(cut.scale >= 0.49f * whole.scale);
    }
    std::vector<float> tailed = matrix::uniform(1, 1000, 1).data();
    for (float& w : tailed) w = w * w * w * w * w;
    const auto whole = quant::absmax{}.fit<T>(tailed), cut = quant::mse{}.fit<T>(tailed);
    // Codes of few bits gain; floats of 8 have more numbers near 0 than they need.
    if (T::bits == 2 || std::is_same_v<T, packed::coded<code_i4>>)
        CHECK(squared_error<T>(tailed, cut) < 0.9 * squared_error<T>(tailed, whole));
}

TEST_CASE("percentile cuts the largest weights, of those that are not zero") {
    using T = packed::coded<code_i8>;
    std::vector<float> weights(150);  // 1, -2, 3, ... 100 and zeros
    for (int i = 1; i <= 100; ++i)
        weights[static_cast<std::size_t>(i)] = static_cast<float>(i % 2 != 0 ? i : -i);
    const auto as_if = [](std::vector<float> only) { return quant::absmax{}.fit<T>(only); };
    CHECK(quant::percentile{.of = 0.9f}.fit<T>(weights) == as_if({-90.0f}));
    CHECK(quant::percentile{.of = 0.905f}.fit<T>(weights) == as_if({91.0f}));
    CHECK(quant::percentile{.of = 1.0f}.fit<T>(weights) == as_if({100.0f}));
    CHECK(quant::percentile{.of = 0.001f}.fit<T>(weights) == as_if({1.0f}));
    // Each end is cut for itself.
    using A = packed::coded<code_i8, 0, true>;
    const std::vector<float> ends{-90.0f, 51.0f};
    for (float& w : weights)
        if (w > 51.0f) w = 0.0f;
    CHECK(quant::percentile{.of = 45.0f / 76.0f}.fit<A>(weights).scale <
          quant::absmax{}.fit<A>(ends).scale);
}

TEMPLATE_LIST_TEST_CASE("weights that are zero, or almost, are stored as zero", "", stored_types) {
    using T = TestType;
    for (const std::vector<float>& weights :
         {std::vector<float>{}, {0.0f}, {0.0f, -0.0f, 0.0f}, {1e-38f, -1e-38f}, {1e-45f}}) {
        const auto check = [&](const packed::grid& of) {
            CHECK(of == packed::grid{});
            for (const float w : weights) CHECK(stored<T>(w, of) == 0.0f);
        };
        check(quant::absmax{}.fit<T>(weights));
        check(quant::mse{}.fit<T>(weights));
        check(quant::percentile{}.fit<T>(weights));
    }
}

TEST_CASE("a scale is shared by a tensor, a channel or a group") {
    matrix weights = matrix::uniform(2, 64, 1);
    weights(0, 3) = -2.0f, weights(0, 40) = 4.0f, weights(1, 5) = 8.0f, weights(1, 63) = 16.0f;
    const auto at = [](float most) {
        return quant::absmax{}.fit<packed::coded<code_i8>>(std::vector<float>{most});
    };
    using grids = std::vector<packed::grid>;
    CHECK(grids_of<quant::int8<quant::per_tensor>>(weights) == grids{at(16), at(16)});
    CHECK(grids_of<quant::int8<>>(weights) == grids{at(4), at(16)});
    CHECK(grids_of<quant::int8<quant::per_group<32>>>(weights) ==
          grids{at(2), at(4), at(8), at(16)});
}

TEST_CASE("a codec is a code, a granularity and a rule") {
    const auto name = [](auto codec) {
        return packed::storage_name<typename decltype(codec)::value_type>();
    };
    CHECK(name(quant::int8<>{}) == "i8");
    CHECK(name(quant::int8<quant::per_tensor>{}) == "i8");
    CHECK(name(quant::uint8<>{}) == "i8:a");
    CHECK(name(quant::int4<quant::per_group<32>>{}) == "i4:g32");
    CHECK(name(quant::uint4<quant::per_group<1024>, quant::mse>{}) == "i4:g1024:a");
    CHECK(name(quant::uint2<quant::per_group<64>>{}) == "i2:g64:a");
    CHECK(name(quant::nf4<quant::per_group<128>, quant::percentile>{}) == "nf4:g128");
    CHECK(name(quant::e4m3<>{}) == "e4m3");
    CHECK(name(quant::e5m2<quant::per_group<512>>{}) == "e5m2:g512");
    CHECK(packed::storage_name<pare::bf16>() == "bf16");
    STATIC_REQUIRE(!quant::codec<packed::coded<code_i8>>);
}
