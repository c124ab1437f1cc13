// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/kernel/simd/row_lanes.hpp>

#include "support/catch.hpp"
#include "support/fenced_array.hpp"

#include <array>
#include <cstddef>
#include <limits>
#include <vector>

#if PARE_HAS_SIMD

using pare::bf16, pare::f16, pare::to_float;
using pare::simd::lanes, pare::simd::narrow, pare::simd::row_lanes;
using pare::testing::fence, pare::testing::fenced_array;

namespace {

// 1, -2, 3, ... as a type that holds them, up to a page that may not be read, or from one on.
template <class T>
fenced_array<T> counted(std::size_t n, fence side) {
    std::vector<T> all;
    for (std::size_t i = 1; i <= n; ++i)
        all.push_back(
            pare::from_float<T>(i % 2 == 0 ? -static_cast<float>(i) : static_cast<float>(i)));
    return fenced_array<T>(all, side);
}

template <std::size_t N>
std::array<float, N> elements(const row_lanes<N>& rows) {
    std::array<float, N> all{};
    rows.store(all.data());
    return all;
}

template <std::size_t N, class T>
void check_rows(fence side) {
    fenced_array<T> stored = counted<T>(N, side);
    row_lanes<N> sums(stored.data());
    int wrong = 0;
    const auto expect = [&](auto value) {
        const auto got = elements(sums);
        for (std::size_t i = 0; i < N; ++i) wrong += got[i] != value(i, to_float(stored.data()[i]));
    };
    expect([](std::size_t, float x) { return x; });
    sums.add_product(row_lanes<N>(stored.data()), 2.0f);
    expect([](std::size_t, float x) { return 3 * x; });
    sums += row_lanes<N>(stored.data());
    expect([](std::size_t, float x) { return 4 * x; });
    for (std::size_t hole = 0; hole < N; ++hole) {
        sums = row_lanes<N>(stored.data());
        sums.clear(hole);
        expect([&](std::size_t i, float x) { return i == hole ? 0.0f : x; });
    }
    CAPTURE(N);
    CHECK(wrong == 0);
}

}  // namespace

TEMPLATE_TEST_CASE("rows in lanes are loaded, added to and cleared one by one", "", float, f16,
                   bf16) {
    for (const fence side : {fence::before, fence::after}) {
        check_rows<4, TestType>(side);
        check_rows<8, TestType>(side);
        check_rows<16, TestType>(side);
        check_rows<32, TestType>(side);
    }
}

TEST_CASE("a row that holds NaN is cleared to zero") {
    const std::vector<float> all(8, std::numeric_limits<float>::quiet_NaN());
    row_lanes<8> sums(all.data());
    for (std::size_t i = 0; i < 8; ++i) sums.clear(i);
    CHECK(elements(sums) == std::array<float, 8>{});
}

TEMPLATE_TEST_CASE("broadcast_four spreads each of four stored weights", "", float, f16, bf16) {
    for (const fence side : {fence::before, fence::after}) {
        fenced_array<TestType> four = counted<TestType>(4, side);
        const auto spread = pare::simd::broadcast_four(four.data());
        for (std::size_t i = 0; i < 4; ++i) {
            std::array<float, lanes> all{};
            spread[i].store_unaligned(all.data());
            for (const float element : all) CHECK(element == to_float(four.data()[i]));
        }
    }
}

#endif
