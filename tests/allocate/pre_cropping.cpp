// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/allocate/pre_cropping.hpp>

#include "support/catch.hpp"

#include <pare/core/random.hpp>

#include <algorithm>
#include <limits>
#include <vector>

using pare::errc;
using pare::allocate::cropped_layer, pare::allocate::pre_cropping, pare::allocate::width;

namespace {

using sizes = std::vector<std::size_t>;

sizes cropped(const pre_cropping& by, const std::vector<width>& widths,
              const std::vector<cropped_layer>& layers) {
    sizes kept(widths.size());
    REQUIRE(by.crop(widths, layers, kept));
    return kept;
}

double weights(const sizes& channels, const std::vector<cropped_layer>& layers,
               bool with_density = false) {
    double sum = 0.0;
    for (const cropped_layer& l : layers)
        sum += static_cast<double>(l.taps * channels[l.from] * (l.depthwise ? 1 : channels[l.to])) *
               (with_density ? l.density : 1.0);
    return sum;
}

}  // namespace

TEST_CASE("a layer between two free widths takes the root of its density from both") {
    CHECK(cropped({}, {{100}, {60}}, {{0, 1, 9, 0.25}}) == sizes{50, 30});
}

TEST_CASE("a layer with one free side, or a depthwise one, takes its density from it") {
    CHECK(cropped({}, {{3, true}, {64}}, {{0, 1, 9, 0.25}}) == sizes{3, 16});
    CHECK(cropped({}, {{64}, {10, true}}, {{0, 1, 1, 0.5}}) == sizes{32, 10});
    CHECK(cropped({}, {{64}}, {{0, 0, 9, 0.125, true}}) == sizes{8});
}

TEST_CASE("a layer within a residual stream takes the root of its density from it") {
    CHECK(cropped({}, {{64}}, {{0, 0, 9, 0.25}}) == sizes{32});
}

TEST_CASE("a depthwise layer has one vote for its width") {
    // Of equal size: one asks 1/64 of the first width, the other 1/4 of both; the mean is 1/16.
    CHECK(cropped({}, {{640}, {640}}, {{0, 0, 640, 1.0 / 64, true}, {0, 1, 1, 1.0 / 16}}) ==
          sizes{40, 160});
}

TEST_CASE("widths that no density asks of, and those of dense layers, stay") {
    CHECK(cropped({}, {{3, true}, {20}, {7}, {5, true}}, {{0, 1, 9, 1.0}, {1, 3, 1, 1.0}}) ==
          sizes{3, 20, 7, 5});
}

TEST_CASE("what is left is what the densities say, less than a channel of each width") {
    pare::random random(7);
    for (int i = 0; i < 20; ++i) {
        std::vector<width> widths{{3, true}};
        std::vector<cropped_layer> layers;
        for (std::size_t l = 0; l < 8; ++l) {
            widths.push_back({64 + random.below(200), l == 7});
            layers.push_back({l, l + 1, 9, 0.05 + 0.05 * static_cast<double>(random.below(19))});
        }
        layers.push_back({2, 4, 1, 0.5});  // beside the chain
        const sizes kept = cropped({}, widths, layers);
        const double left = weights(kept, layers);
        sizes all;
        for (const width& w : widths) all.push_back(w.channels);
        const double target = weights(all, layers, true);
        CHECK(left <= target);
        sizes more = kept;
        for (std::size_t w = 1; w < 8; ++w) more[w] = std::min(more[w] + 1, all[w]);
        CHECK(weights(more, layers) >= target);
        CHECK(kept.front() == 3);
        CHECK(kept.back() == all.back());
    }
}

TEST_CASE("sparser layers get narrower, whole multiples, and at least one channel") {
    const std::vector<width> widths{{3, true}, {64}, {64}, {64}, {10, true}};
    const std::vector<cropped_layer> layers{
        {0, 1, 9, 0.9}, {1, 2, 9, 0.8}, {2, 3, 9, 0.1}, {3, 4, 1, 0.1}};
    const sizes kept = cropped({}, widths, layers);
    CHECK(kept[1] > kept[2]);
    CHECK(kept[2] > kept[3]);
    for (const std::size_t n : cropped({.multiple = 8}, widths, layers))
        CHECK((n == 3 || n == 10 || n % 8 == 0));
    CHECK(cropped({}, {{1, true}, {50}}, {{0, 1, 1, 1e-9}}) == sizes{1, 1});
}

TEST_CASE("densities and widths that make no sense are refused") {
    sizes kept(1);
    const std::vector<width> widths{{4}};
    const auto code = [&](const pre_cropping& by, cropped_layer l) {
        const auto refused = by.crop(widths, {&l, 1}, kept);
        REQUIRE_FALSE(refused);
        return refused.error().code;
    };
    for (const double bad : {0.0, 1.5, -1.0, std::numeric_limits<double>::quiet_NaN()})
        CHECK(code({}, {0, 0, 1, bad}) == errc::invalid_argument);
    CHECK(code({}, {0, 1, 1, 0.5}) == errc::invalid_argument);
    const std::vector<width> two{{4}, {4}};
    const cropped_layer from_other{0, 1, 9, 0.5, true};
    sizes both(2);
    CHECK(pre_cropping{}.crop(two, {&from_other, 1}, both).error().code == errc::invalid_argument);
    CHECK(code({.multiple = 0}, {0, 0, 1, 0.5}) == errc::invalid_argument);
    CHECK(pre_cropping{}.crop(widths, {}, {}).error().code == errc::shape_mismatch);
    CHECK(kept == sizes(1));
}
