// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/core/dtype.hpp>

#include <pare/core/random.hpp>

#include "support/catch.hpp"

#ifdef __F16C__
#include <immintrin.h>
#endif

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

namespace {

using pare::bf16, pare::f16, pare::from_float, pare::to_float;

// The reference, not the conversion, needs infinities and subnormals.
#ifdef __FAST_MATH__
#define PARE_SKIP_WITH_FAST_MATH()                        \
    do {                                                  \
        WARN("skipped: the reference needs IEEE floats"); \
        return;                                           \
    } while (false)
#else
#define PARE_SKIP_WITH_FAST_MATH() static_cast<void>(0)
#endif

constexpr std::uint32_t bits_of(float x) { return std::bit_cast<std::uint32_t>(x); }
constexpr float float_of(std::uint32_t bits) { return std::bit_cast<float>(bits); }

// A half by its definition, in double. The code after the largest finite one counts as 2^16: what
// it would be with a wider exponent, which is where IEEE 754 puts the tie with infinity.
double half_value(std::uint32_t magnitude) {
    const int exponent = static_cast<int>(magnitude >> 10), fraction = magnitude & 0x3ff;
    return exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
}

double bf16_value(std::uint32_t magnitude) {
    return magnitude == 0x7f80 ? 0x1p128 : static_cast<double>(float_of(magnitude << 16));
}

// The code nearest to x among 0 .. infinity by bisection, ties to the even code.
template <class Value>
std::uint16_t nearest(float x, std::uint32_t infinity, Value value) {
    const std::uint32_t sign = bits_of(x) >> 16 & 0x8000;
    const double magnitude = std::fabs(static_cast<double>(x));
    std::uint32_t low = 0, high = infinity;
    if (magnitude >= value(high)) low = high;
    while (high - low > 1) {
        const std::uint32_t middle = (low + high) / 2;
        (value(middle) <= magnitude ? low : high) = middle;
    }
    const double tie = (value(low) + value(high)) / 2;
    const bool up = magnitude > tie || (magnitude == tie && (low & 1) != 0);
    return static_cast<std::uint16_t>(sign | (up ? high : low));
}

std::uint16_t slow_f16(float x) {
    if (std::isnan(x))
        return static_cast<std::uint16_t>((bits_of(x) >> 16 & 0x8000) | 0x7e00 |
                                          (bits_of(x) >> 13 & 0x3ff));
    return nearest(x, 0x7c00, half_value);
}

std::uint16_t slow_bf16(float x) {
    if (std::isnan(x)) return static_cast<std::uint16_t>(bits_of(x) >> 16 | 0x40);
    return nearest(x, 0x7f80, bf16_value);
}

// Every sign, exponent and leading 10 bits of a fraction, each with the 13 bits after them around
// the ties of a half; then every tie between neighbouring halves, subnormal ones included, with
// both float neighbours; then random bits.
template <class Visit>
void visit_floats(Visit visit) {
    for (std::uint32_t leading = 0; leading < 1u << 19; ++leading)
        for (const std::uint32_t rest : {0u, 1u, 0xfffu, 0x1000u, 0x1001u, 0x1fffu})
            visit(float_of(leading << 13 | rest));
    for (std::uint32_t code = 0; code < 0x7c00; ++code) {
        const auto tie = static_cast<float>((half_value(code) + half_value(code + 1)) / 2);
        for (const std::uint32_t bits : {bits_of(tie) - 1, bits_of(tie), bits_of(tie) + 1}) {
            visit(float_of(bits));
            visit(float_of(bits | 0x80000000u));
        }
    }
    pare::random random(1);
    for (int i = 0; i < 1000000; ++i) visit(float_of(static_cast<std::uint32_t>(random.next())));
}

}  // namespace

TEST_CASE("every half converts to the float of its definition") {
    int wrong = 0;
    for (std::uint32_t code = 0; code < 0x10000; ++code) {
        const std::uint32_t magnitude = code & 0x7fff;
        const float x = to_float(f16{static_cast<std::uint16_t>(code)});
        const std::uint32_t sign = (code & 0x8000) << 16;
        std::uint32_t expected = sign | bits_of(static_cast<float>(half_value(magnitude)));
        if (magnitude == 0x7c00) expected = sign | 0x7f800000u;
        if (magnitude > 0x7c00) expected = sign | 0x7fc00000u | (code & 0x3ff) << 13;
        wrong += bits_of(x) != expected;
    }
    CHECK(wrong == 0);
}

TEST_CASE("every bf16 converts to the float with the same leading bits") {
    int wrong = 0;
    for (std::uint32_t code = 0; code < 0x10000; ++code)
        wrong += bits_of(to_float(bf16{static_cast<std::uint16_t>(code)})) != code << 16;
    CHECK(wrong == 0);
}

TEST_CASE("every half and bf16 survives the way through float, NaNs made quiet") {
    int wrong = 0;
    for (std::uint32_t code = 0; code < 0x10000; ++code) {
        const f16 half{static_cast<std::uint16_t>(code)};
        const bf16 brain{static_cast<std::uint16_t>(code)};
        const bool half_nan = (code & 0x7fff) > 0x7c00, brain_nan = (code & 0x7fff) > 0x7f80;
        wrong += from_float<f16>(to_float(half)).bits != (half_nan ? code | 0x200 : code);
        wrong += from_float<bf16>(to_float(brain)).bits != (brain_nan ? code | 0x40 : code);
    }
    CHECK(wrong == 0);
}

TEST_CASE("from_float<f16> finds the nearest half, ties to even") {
    PARE_SKIP_WITH_FAST_MATH();
    int wrong = 0;
    visit_floats([&](float x) { wrong += from_float<f16>(x).bits != slow_f16(x); });
    CHECK(wrong == 0);
}

TEST_CASE("from_float<bf16> finds the nearest bf16, ties to even") {
    PARE_SKIP_WITH_FAST_MATH();
    int wrong = 0;
    const auto visit = [&](float x) { wrong += from_float<bf16>(x).bits != slow_bf16(x); };
    visit_floats(visit);
    for (std::uint32_t leading = 0; leading < 0x10000; ++leading)
        for (const std::uint32_t rest : {0u, 1u, 0x7fffu, 0x8000u, 0x8001u, 0xffffu})
            visit(float_of(leading << 16 | rest));
    CHECK(wrong == 0);
}

TEST_CASE("the reference of these tests tells a truncating conversion apart") {
    int wrong = 0;
    visit_floats([&](float x) { wrong += (bits_of(x) >> 16) != slow_bf16(x); });
    CHECK(wrong > 0);
}

#if defined(__F16C__)
TEST_CASE("conversions of halves agree with the F16C instructions bit for bit") {
    int wrong = 0;
    visit_floats([&](float x) {
        const __m128i half = _mm_cvtps_ph(_mm_set_ss(x), _MM_FROUND_TO_NEAREST_INT);
        wrong += from_float<f16>(x).bits != (_mm_cvtsi128_si32(half) & 0xffff);
    });
    for (std::uint32_t code = 0; code < 0x10000; ++code) {
        const __m128 x = _mm_cvtph_ps(_mm_cvtsi32_si128(static_cast<int>(code)));
        wrong +=
            bits_of(to_float(f16{static_cast<std::uint16_t>(code)})) != bits_of(_mm_cvtss_f32(x));
    }
    CHECK(wrong == 0);
}
#elif defined(__aarch64__)
TEST_CASE("conversions of halves agree with the AArch64 instructions bit for bit") {
    int wrong = 0;
    visit_floats([&](float x) {
        wrong += from_float<f16>(x).bits != std::bit_cast<std::uint16_t>(static_cast<__fp16>(x));
    });
    for (std::uint32_t code = 0; code < 0x10000; ++code) {
        const auto half = static_cast<std::uint16_t>(code);
        wrong += bits_of(to_float(f16{half})) !=
                 bits_of(static_cast<float>(std::bit_cast<__fp16>(half)));
    }
    CHECK(wrong == 0);
}
#endif

TEST_CASE("conversions work at compile time") {
    STATIC_REQUIRE(from_float<f16>(1.0f) == f16{0x3c00});
    STATIC_REQUIRE(from_float<f16>(65519.0f) == f16{0x7bff});
    STATIC_REQUIRE(from_float<f16>(65520.0f) == f16{0x7c00});
    STATIC_REQUIRE(from_float<f16>(-0x1p-24f) == f16{0x8001});
    STATIC_REQUIRE(from_float<bf16>(-1.0f) == bf16{0xbf80});
    STATIC_REQUIRE(to_float(f16{0x0001}) == 0x1p-24f);
    STATIC_REQUIRE(to_float(bf16{0x4049}) == 3.140625f);
    STATIC_REQUIRE(from_float<float>(0.1f) == 0.1f);
}

TEST_CASE("is_nan and is_finite sort the special values") {
    constexpr float infinity = std::numeric_limits<float>::infinity();
    for (const float x : {0.0f, -0.0f, 1.0f, 0x1p-149f, std::numeric_limits<float>::max()}) {
        CHECK(pare::is_finite(x));
        CHECK_FALSE(pare::is_nan(-x));
    }
    for (const float x : {infinity, -infinity}) {
        CHECK_FALSE(pare::is_finite(x));
        CHECK_FALSE(pare::is_nan(x));
    }
    for (const std::uint32_t bits : {0x7f800001u, 0x7fc00000u, 0xffffffffu}) {
        CHECK(pare::is_nan(float_of(bits)));
        CHECK_FALSE(pare::is_finite(float_of(bits)));
    }
    CHECK(pare::is_finite(std::numeric_limits<double>::max()));
    CHECK(pare::is_finite(-0x1p-1074));
    for (const std::uint64_t bits :
         {0x7ff0000000000000u, 0xfff0000000000000u, 0x7ff0000000000001u, 0xfff8000000000000u})
        CHECK_FALSE(pare::is_finite(std::bit_cast<double>(bits)));
}

TEST_CASE("a pair of i4 holds any two values of its range") {
    for (int even = -8; even <= 7; ++even)
        for (int odd = -8; odd <= 7; ++odd) {
            const pare::i4x2 pair = pare::make_i4x2(even, odd);
            CHECK(pare::to_int(pair, 0) == even);
            CHECK(pare::to_int(pair, 1) == odd);
        }
    STATIC_REQUIRE(pare::make_i4x2(1, -1) == pare::i4x2{0xf1});
}

TEST_CASE("every storage type has a name") {
    CHECK(pare::dtype_name<float>() == "f32");
    CHECK(pare::dtype_name<f16>() == "f16");
    CHECK(pare::dtype_name<bf16>() == "bf16");
    CHECK(pare::dtype_name<pare::i8>() == "i8");
    CHECK(pare::dtype_name<pare::i4x2>() == "i4");
}
