// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_CORE_WEIGHT_CODE_HPP
#define PARE_CORE_WEIGHT_CODE_HPP

#include "dtype.hpp"

#include <array>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace pare {

/// A set of at most 256 numbers, each with a code of `bits` bits: what a weight divided by its
/// scale is stored as. encode() is defined for every float: the nearest number, beyond the largest
/// one that, for NaN 0. Code 0 is the number 0.
template <class C>
concept weight_code = requires(float x, std::uint8_t code) {
    { C::name } -> std::convertible_to<std::string_view>;
    { C::bits } -> std::convertible_to<int>;
    { C::largest } -> std::convertible_to<float>;
    { C::encode(x) } -> std::same_as<std::uint8_t>;
    { C::decode(code) } -> std::same_as<float>;
};

/// Codes that are whole numbers, of which kernels make exact sums.
template <class C>
concept integer_code = weight_code<C> && requires {
    { C::least } -> std::convertible_to<int>;
};

inline namespace PARE_ARCH_NAMESPACE {

/// Whole numbers in two's complement. encode() gives -largest to largest, so that a number and its
/// negative are stored alike; an asymmetric code also uses `least`.
template <int Bits>
struct whole_numbers {
    static_assert(Bits == 2 || Bits == 4 || Bits == 8);
    static constexpr std::string_view name = Bits == 2 ? "i2" : Bits == 4 ? "i4" : "i8";
    static constexpr int bits = Bits;
    static constexpr int least = -(1 << (Bits - 1));
    static constexpr float largest = static_cast<float>((1 << (Bits - 1)) - 1);

    /// The nearest whole number in [low, largest], ties away from 0; 0 for NaN.
    static constexpr int nearest(float x, float low) noexcept {
        if (is_nan(x)) return 0;
        const float in = x < low ? low : x > largest ? largest : x;
        const int whole = static_cast<int>(in);
        const float rest = in - static_cast<float>(whole);  // exact
        return whole + (rest >= 0.5f) - (rest <= -0.5f);
    }
    static constexpr std::uint8_t of(int number) noexcept {
        return static_cast<std::uint8_t>(number & ((1 << Bits) - 1));
    }
    static constexpr std::uint8_t encode(float x) noexcept { return of(nearest(x, -largest)); }
    static constexpr int number(std::uint8_t code) noexcept {
        return (code ^ (1 << (Bits - 1))) - (1 << (Bits - 1));
    }
    static constexpr float decode(std::uint8_t code) noexcept {
        return static_cast<float>(number(code));
    }
};

using code_i8 = whole_numbers<8>;
using code_i4 = whole_numbers<4>;
using code_i2 = whole_numbers<2>;

/// Quantiles of a normal distribution: NormalFloat of Dettmers et al., "QLoRA", arXiv:2305.14314,
/// appendix E. Deviation: the codes are numbered so that 0 is the number 0.
struct code_nf4 {
    static constexpr std::string_view name = "nf4";
    static constexpr int bits = 4;
    static constexpr float largest = 1.0f;
    /// By code: 0 and the positive numbers ascending, then the negative ones.
    static constexpr std::array<float, 16> numbers{0.0f,
                                                   0.07958029955625534f,
                                                   0.16093020141124725f,
                                                   0.24611230194568634f,
                                                   0.33791524171829224f,
                                                   0.44070982933044434f,
                                                   0.5626170039176941f,
                                                   0.7229568362236023f,
                                                   1.0f,
                                                   -1.0f,
                                                   -0.6961928009986877f,
                                                   -0.5250730514526367f,
                                                   -0.39491748809814453f,
                                                   -0.28444138169288635f,
                                                   -0.18477343022823334f,
                                                   -0.09105003625154495f};

    static constexpr std::uint8_t encode(float x) noexcept {
        if (is_nan(x)) return 0;
        const float in = x < -largest ? -largest : x > largest ? largest : x;
        const auto distance = [&](std::size_t code) {
            return in < numbers[code] ? numbers[code] - in : in - numbers[code];
        };
        std::size_t best = 0;
        for (std::size_t code = 1; code < numbers.size(); ++code)
            if (distance(code) < distance(best)) best = code;
        return static_cast<std::uint8_t>(best);
    }
    static constexpr float decode(std::uint8_t code) noexcept { return numbers[code & 15]; }
};

/// Floats of 8 bits, Micikevicius et al., "FP8 formats for deep learning", arXiv:2209.05433,
/// rounded to nearest even. encode() saturates: neither infinity nor NaN is ever stored.
template <int ExponentBits>
struct small_float {
    static_assert(ExponentBits == 4 || ExponentBits == 5);
    static constexpr std::string_view name = ExponentBits == 4 ? "e4m3" : "e5m2";
    static constexpr int bits = 8;
    static constexpr int fraction_bits = 7 - ExponentBits;
    static constexpr int bias = (1 << (ExponentBits - 1)) - 1;
    static constexpr std::uint8_t largest_code = ExponentBits == 4 ? 0x7e : 0x7b;
    static constexpr float largest = ExponentBits == 4 ? 448.0f : 57344.0f;

    static constexpr std::uint8_t encode(float x) noexcept {
        if (is_nan(x)) return 0;
        const std::uint32_t word = std::bit_cast<std::uint32_t>(x);
        const std::uint32_t sign = word >> 31 << 7;
        const float size = std::bit_cast<float>(word & 0x7fffffffu);
        if (size >= largest) return static_cast<std::uint8_t>(sign | largest_code);
        const int own = static_cast<int>((word >> 23) & 0xffu) - 127, lowest = 1 - bias;
        const int exponent = own < lowest ? lowest : own;
        // In units of the last place, the leading one included: it adds 1 to the exponent.
        const float units = size * power_of_two(fraction_bits - exponent);
        auto n = static_cast<std::uint32_t>(units);
        const float rest = units - static_cast<float>(n);
        if (rest > 0.5f || (rest == 0.5f && n % 2 != 0)) ++n;
        const auto code = (static_cast<std::uint32_t>(exponent - lowest) << fraction_bits) + n;
        return static_cast<std::uint8_t>(sign | code);
    }
    static constexpr float decode(std::uint8_t code) noexcept {
        const int exponent = code >> fraction_bits & ((1 << ExponentBits) - 1);
        const int fraction = code & ((1 << fraction_bits) - 1);
        const int normal = exponent > 0 ? 1 : 0;
        const float size = static_cast<float>(fraction + (normal << fraction_bits)) *
                           power_of_two((normal ? exponent : 1) - bias - fraction_bits);
        return (code & 0x80) != 0 ? -size : size;
    }

  private:
    static constexpr float power_of_two(int exponent) noexcept {
        return std::bit_cast<float>(static_cast<std::uint32_t>(exponent + 127) << 23);
    }
};

using code_e4m3 = small_float<4>;
using code_e5m2 = small_float<5>;

}  // namespace PARE_ARCH_NAMESPACE

static_assert(integer_code<code_i8> && weight_code<code_nf4> && weight_code<code_e4m3>);

}  // namespace pare

#endif  // PARE_CORE_WEIGHT_CODE_HPP
