// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/core/weight_code.hpp>

#include <pare/core/random.hpp>

#include "support/catch.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

using pare::code_e4m3, pare::code_e5m2, pare::code_i2, pare::code_i4, pare::code_i8, pare::code_nf4;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float largest_float = std::numeric_limits<float>::max();
float float_of(std::uint32_t bits) { return std::bit_cast<float>(bits); }
std::uint32_t bits_of(float x) { return std::bit_cast<std::uint32_t>(x); }

/// The codes that encode() may give: of whole numbers not the least one, of floats those up to the
/// largest number.
template <class Code>
bool is_used(std::uint8_t code) {
    if constexpr (pare::integer_code<Code>) return Code::number(code) != Code::least;
    else return std::fabs(Code::decode(code)) <= Code::largest;
}

template <class Code>
std::vector<std::uint8_t> used_codes() {
    std::vector<std::uint8_t> codes;
    for (unsigned code = 0; code < 1u << Code::bits; ++code)
        if (is_used<Code>(static_cast<std::uint8_t>(code)))
            codes.push_back(static_cast<std::uint8_t>(code));
    return codes;
}

/// Floats over the whole range, every number of the code, and what lies half way between two of
/// them, each with both neighbours and of both signs; no infinity, no NaN.
template <class Code>
std::vector<float> floats_for() {
    std::vector<float> all;
    const auto add = [&](float x) {
        const std::uint32_t bits = bits_of(x) & 0x7fffffffu;
        for (const std::uint32_t near : {bits == 0 ? bits : bits - 1, bits, bits + 1})
            if (near < 0x7f800000u) {
                all.push_back(float_of(near));
                all.push_back(float_of(near | 0x80000000u));
            }
    };
    for (std::uint32_t bits = 0; bits < 0x7f800000u; bits += 99991) add(float_of(bits));
    const auto codes = used_codes<Code>();
    for (const std::uint8_t a : codes)
        for (const std::uint8_t b : codes) add((Code::decode(a) + Code::decode(b)) / 2);
    pare::random random(1);
    for (int i = 0; i < 20000; ++i) add(random.symmetric() * 1.2f * Code::largest);
    return all;
}

/// How often encode() does not give the number nearest to x. All distances are exact in double
/// where it matters: near a tie.
template <class Code>
int far_numbers() {
    const auto codes = used_codes<Code>();
    int wrong = 0;
    for (const float x : floats_for<Code>()) {
        const auto distance = [&](std::uint8_t code) {
            return std::fabs(static_cast<double>(Code::decode(code)) - static_cast<double>(x));
        };
        const double got = distance(Code::encode(x));
        wrong += !is_used<Code>(Code::encode(x));
        for (const std::uint8_t other : codes) wrong += distance(other) < got;
    }
    return wrong;
}

template <class Code>
int not_returned() {
    int wrong = 0;
    for (const std::uint8_t code : used_codes<Code>())
        wrong += Code::encode(Code::decode(code)) != code;
    return wrong;
}

template <class Code>
void check_edges() {
    CHECK(Code::decode(0) == 0.0f);
    CHECK(Code::encode(0.0f) == 0);
    for (const float x : {Code::largest, 1.5f * Code::largest, largest_float, infinity}) {
        CHECK(Code::decode(Code::encode(x)) == Code::largest);
        CHECK(Code::decode(Code::encode(-x)) == -Code::largest);
    }
    for (const std::uint32_t nan : {0x7fc00000u, 0xffc00000u, 0x7f800001u, 0xffffffffu})
        CHECK(Code::encode(float_of(nan)) == 0);
}

/// A float of 8 bits by its definition.
double small_float_of(int exponent_bits, unsigned magnitude) {
    const int fraction_bits = 7 - exponent_bits, bias = (1 << (exponent_bits - 1)) - 1;
    const int exponent = static_cast<int>(magnitude >> fraction_bits);
    const int fraction = static_cast<int>(magnitude & ((1u << fraction_bits) - 1));
    return exponent == 0
               ? std::ldexp(fraction, 1 - bias - fraction_bits)
               : std::ldexp((1 << fraction_bits) + fraction, exponent - bias - fraction_bits);
}

/// The code nearest to x among those up to `last`, ties to the even one.
unsigned nearest_even(int exponent_bits, unsigned last, float x) {
    const double most = small_float_of(exponent_bits, last);
    const double size = std::min(std::fabs(static_cast<double>(x)), most);
    unsigned best = last;
    for (unsigned code = last; code-- > 0;) {
        const double d = std::fabs(small_float_of(exponent_bits, code) - size);
        const double least = std::fabs(small_float_of(exponent_bits, best) - size);
        if (d < least || (d == least && code % 2 == 0)) best = code;
    }
    return best | bits_of(x) >> 31 << 7;
}

template <class Code>
int not_nearest_even(int exponent_bits, unsigned last) {
    int wrong = 0;
    for (const float x : floats_for<Code>())
        wrong += Code::encode(x) != nearest_even(exponent_bits, last, x);
    return wrong;
}

}  // namespace

TEMPLATE_TEST_CASE("every number of a code comes back, and every float becomes the nearest one", "",
                   code_i8, code_i4, code_i2, code_nf4, code_e4m3, code_e5m2) {
    CHECK(not_returned<TestType>() == 0);
    CHECK(far_numbers<TestType>() == 0);
    check_edges<TestType>();
}

TEST_CASE("floats of 8 bits are rounded to nearest even") {
    CHECK(not_nearest_even<code_e4m3>(4, 0x7e) == 0);
    CHECK(not_nearest_even<code_e5m2>(5, 0x7b) == 0);
    STATIC_REQUIRE(code_e4m3::encode(-448.0f) == 0xfe);
    STATIC_REQUIRE(code_e4m3::encode(0x1p-9f) == 1);  // the least subnormal one
    CHECK(code_e4m3::encode(0x1p-10f) == 0);
    CHECK(code_e4m3::encode(0x3p-10f) == 2);
    STATIC_REQUIRE(code_e4m3::encode(1.0f) == 0x38);
    STATIC_REQUIRE(code_e5m2::encode(1.0f) == 0x3c);
}

TEST_CASE("a float of 8 bits is the number of its definition, e5m2 the upper half of an f16") {
    int wrong = 0;
    for (unsigned code = 0; code < 256; ++code) {
        const auto c = static_cast<std::uint8_t>(code);
        const double sign = code < 128 ? 1.0 : -1.0;
        const auto e4m3 = static_cast<float>(sign * small_float_of(4, code & 0x7f));
        const auto e5m2 = static_cast<float>(sign * small_float_of(5, code & 0x7f));
        wrong += bits_of(code_e4m3::decode(c)) != bits_of(e4m3);
        wrong += bits_of(code_e5m2::decode(c)) != bits_of(e5m2);
        if ((code & 0x7f) <= code_e5m2::largest_code)
            wrong += bits_of(code_e5m2::decode(c)) !=
                     bits_of(pare::to_float(pare::f16{static_cast<std::uint16_t>(code << 8)}));
    }
    CHECK(wrong == 0);
}

TEST_CASE("whole numbers are two's complement, the least one for asymmetric codes alone") {
    STATIC_REQUIRE(code_i4::decode(0x9) == -7.0f);
    STATIC_REQUIRE(code_i4::encode(-7.0f) == 0x9);
    STATIC_REQUIRE(code_i4::encode(-8.0f) == 0x9);
    STATIC_REQUIRE(code_i4::nearest(-8.6f, code_i4::least) == -8);
    STATIC_REQUIRE(code_i4::of(-8) == 0x8);
    STATIC_REQUIRE(code_i4::number(0x8) == -8);
    STATIC_REQUIRE(code_i8::encode(-1.0f) == 0xff);
    STATIC_REQUIRE(code_i2::encode(-1.0f) == 0x3);
    STATIC_REQUIRE(code_i8::encode(2.5f) == 3);  // ties away from 0
    STATIC_REQUIRE(code_i8::encode(-2.5f) == 0xfd);
    // x + 1/2 is rounded to 1.
    CHECK(code_i8::encode(0x1.fffffep-2f) == 0);
    CHECK(code_i8::encode(-0x1.fffffep-2f) == 0);
}

TEST_CASE("the numbers of nf4 are quantiles of a normal distribution, from -1 to 1") {
    std::vector<float> sorted(code_nf4::numbers.begin() + 9, code_nf4::numbers.end());
    sorted.insert(sorted.end(), code_nf4::numbers.begin(), code_nf4::numbers.begin() + 9);
    const auto quantile_of = [](double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); };
    // From the paper's 1 - (1/32 + 1/30) / 2 in equal steps of probability to 1/2: 7 below 0, 8
    // above.
    const double offset = 0.9677083, end = 1.8481310;  // the quantile of `offset`
    const auto equal_steps = [&](auto size, int steps) {
        for (int i = 0; i <= steps; ++i)
            CHECK(quantile_of(static_cast<double>(size(static_cast<std::size_t>(i))) * end) ==
                  Approx(offset + i * (0.5 - offset) / steps).margin(1e-5));
    };
    equal_steps([&](std::size_t i) { return -sorted[i]; }, 7);
    equal_steps([&](std::size_t i) { return sorted[15 - i]; }, 8);
}
