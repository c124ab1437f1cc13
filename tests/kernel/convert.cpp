// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/kernel/convert.hpp>

#include "support/catch.hpp"

#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace {

template <class T>
std::vector<T> every_code() {
    std::vector<T> all;
    for (std::uint32_t bits = 0; bits < 0x10000; ++bits)
        all.push_back(T{static_cast<std::uint16_t>(bits)});
    return all;
}

// Both neighbours of every rounding boundary of f16 and bf16, and NaNs of every payload width.
std::vector<float> boundaries() {
    std::vector<float> all;
    for (std::uint32_t high = 0; high < 0x10000; ++high)
        for (const std::uint32_t low : {0x0000u, 0x0001u, 0x0fffu, 0x1000u, 0x1001u, 0x2fffu,
                                        0x3000u, 0x7fffu, 0x8000u, 0x8001u, 0xffffu})
            all.push_back(std::bit_cast<float>(high << 16 | low));
    return all;
}

std::uint32_t bits_of(float x) { return std::bit_cast<std::uint32_t>(x); }

}  // namespace

TEMPLATE_TEST_CASE("convert widens every code to the bits of to_float", "", pare::f16, pare::bf16) {
    const auto codes = every_code<TestType>();
    std::vector<float> wide(codes.size());
    REQUIRE(pare::kernel::convert(std::span<const TestType>(codes), std::span<float>(wide)));
    std::size_t n_wrong = 0;
    for (std::size_t i = 0; i < codes.size(); ++i)
        n_wrong += bits_of(wide[i]) != bits_of(pare::to_float(codes[i]));
    CHECK(n_wrong == 0);
}

TEMPLATE_TEST_CASE("convert narrows to the bits of from_float", "", pare::f16, pare::bf16) {
    const auto floats = boundaries();
    std::vector<TestType> codes(floats.size());
    REQUIRE(pare::kernel::convert(std::span<const float>(floats), std::span<TestType>(codes)));
    std::size_t n_wrong = 0;
    for (std::size_t i = 0; i < floats.size(); ++i)
        n_wrong += codes[i].bits != pare::from_float<TestType>(floats[i]).bits;
    CHECK(n_wrong == 0);
}

TEMPLATE_TEST_CASE("convert handles every short length and writes nothing beyond it", "", pare::f16,
                   pare::bf16) {
    for (std::size_t n = 0; n <= 35; ++n) {
        std::vector<float> floats(n, 1.5f);
        std::vector<TestType> codes(n + 1, TestType{0xabcd});
        REQUIRE(pare::kernel::convert(std::span<const float>(floats), std::span(codes).first(n)));
        std::vector<float> back(n + 1, -7.0f);
        REQUIRE(pare::kernel::convert(std::span<const TestType>(codes).first(n),
                                      std::span(back).first(n)));
        CHECK(codes[n].bits == 0xabcd);
        CHECK(back[n] == -7.0f);
        for (std::size_t i = 0; i < n; ++i) CHECK(back[i] == 1.5f);
    }
}

TEST_CASE("convert refuses lengths that differ") {
    std::vector<float> floats(3);
    std::vector<pare::f16> codes(4);
    const auto refused =
        pare::kernel::convert(std::span<const float>(floats), std::span<pare::f16>(codes));
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == pare::errc::shape_mismatch);
}
