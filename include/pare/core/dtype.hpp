// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_CORE_DTYPE_HPP
#define PARE_CORE_DTYPE_HPP

#include "config.hpp"

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace pare {

/// IEEE binary16, storage only.
struct f16 {
    std::uint16_t bits;
    friend constexpr bool operator==(f16, f16) noexcept = default;  ///< same bits, so NaN == NaN
};

/// bfloat16 (the upper half of a binary32), storage only.
struct bf16 {
    std::uint16_t bits;
    friend constexpr bool operator==(bf16, bf16) noexcept = default;  ///< same bits
};

using i8 = std::int8_t;

/// Two signed 4-bit integers in [-8, 7], the even element in the low nibble.
struct i4x2 {
    std::uint8_t bits;
    friend constexpr bool operator==(i4x2, i4x2) noexcept = default;
};

static_assert(sizeof(f16) == 2 && sizeof(bf16) == 2 && sizeof(i4x2) == 1);

/// The 16-bit floats.
template <class T>
concept half_storage = std::same_as<T, f16> || std::same_as<T, bf16>;

/// Floating-point types that weights and activations may be stored in.
template <class T>
concept float_storage = std::same_as<T, float> || half_storage<T>;

/// The short name of a storage type: "f32", "f16", "bf16", "i8", "i4".
template <class T>
constexpr std::string_view dtype_name() noexcept {
    if constexpr (std::same_as<T, float>) return "f32";
    else if constexpr (std::same_as<T, f16>) return "f16";
    else if constexpr (std::same_as<T, bf16>) return "bf16";
    else if constexpr (std::same_as<T, i8>) return "i8";
    else {
        static_assert(std::same_as<T, i4x2>, "dtype_name: not a storage type of pare");
        return "i4";
    }
}

inline namespace PARE_ARCH_NAMESPACE {

// NaN and infinity are recognised by their bits: comparisons vanish under -ffast-math.
constexpr bool is_nan(float x) noexcept {
    return (std::bit_cast<std::uint32_t>(x) & 0x7fffffffu) > 0x7f800000u;
}
constexpr bool is_finite(float x) noexcept {
    return (std::bit_cast<std::uint32_t>(x) & 0x7f800000u) != 0x7f800000u;
}
constexpr bool is_finite(double x) noexcept {
    constexpr std::uint64_t exponent = 0x7ff0000000000000u;
    return (std::bit_cast<std::uint64_t>(x) & exponent) != exponent;
}

constexpr float to_float(float x) noexcept { return x; }

constexpr float to_float(bf16 x) noexcept {
    return std::bit_cast<float>(std::uint32_t{x.bits} << 16);
}

/// Exact; a signalling NaN becomes quiet, as the conversion instructions make it.
constexpr float to_float(f16 x) noexcept {
    const std::uint32_t sign = (std::uint32_t{x.bits} & 0x8000u) << 16;
    const std::uint32_t exponent = (x.bits >> 10) & 0x1fu;
    std::uint32_t fraction = x.bits & 0x3ffu;
    if (exponent == 0x1f) {
        const std::uint32_t quiet = fraction != 0 ? 0x400000u : 0u;
        return std::bit_cast<float>(sign | 0x7f800000u | (fraction << 13) | quiet);
    }
    if (exponent != 0)
        return std::bit_cast<float>(sign | ((exponent + 112u) << 23) | (fraction << 13));
    if (fraction == 0) return std::bit_cast<float>(sign);
    // A subnormal is fraction * 2^-24: shift its leading one up to the implicit place.
    const std::uint32_t shift = static_cast<std::uint32_t>(std::countl_zero(fraction)) - 21u;
    fraction = (fraction << shift) & 0x3ffu;
    return std::bit_cast<float>(sign | ((113u - shift) << 23) | (fraction << 13));
}

/// The i-th (0 or 1) element of a pair.
constexpr int to_int(i4x2 pair, int i) noexcept {
    const int nibble = (pair.bits >> (4 * i)) & 0xf;
    return nibble - ((nibble & 8) << 1);
}

/// @pre both in [-8, 7]
constexpr i4x2 make_i4x2(int even, int odd) noexcept {
    PARE_ASSERT(-8 <= even && even <= 7 && -8 <= odd && odd <= 7, "outside the range of i4");
    return {static_cast<std::uint8_t>((even & 0xf) | ((odd & 0xf) << 4))};
}

/// Rounds to nearest, ties to even, for every input; overflow gives infinity, NaN stays a quiet NaN
/// with its leading payload bits. Bit for bit what F16C and AArch64 compute in hardware.
template <float_storage T>
constexpr T from_float(float x) noexcept;

template <>
constexpr float from_float<float>(float x) noexcept {
    return x;
}

template <>
constexpr bf16 from_float<bf16>(float x) noexcept {
    const std::uint32_t bits = std::bit_cast<std::uint32_t>(x);
    if (is_nan(x)) return {static_cast<std::uint16_t>((bits >> 16) | 0x40u)};
    return {static_cast<std::uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16)};
}

template <>
constexpr f16 from_float<f16>(float x) noexcept {
    const std::uint32_t bits = std::bit_cast<std::uint32_t>(x);
    const std::uint32_t sign = (bits >> 16) & 0x8000u;
    const std::uint32_t magnitude = bits & 0x7fffffffu;
    std::uint32_t half = 0;
    if (magnitude > 0x7f800000u) {  // NaN
        half = 0x7e00u | ((magnitude >> 13) & 0x3ffu);
    } else if (magnitude >= 0x477ff000u) {  // 65520 and more round to infinity
        half = 0x7c00u;
    } else if (magnitude >= 0x38800000u) {  // 2^-14 and more: normal
        half = (magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13) & 1u)) >> 13;
    } else if (magnitude > 0x33000000u) {  // more than 2^-25: subnormal
        const std::uint32_t shift = 126u - (magnitude >> 23);
        const std::uint32_t fraction = (magnitude & 0x7fffffu) | 0x800000u;
        const std::uint32_t tie = 1u << (shift - 1);
        half = (fraction + (tie - 1) + ((fraction >> shift) & 1u)) >> shift;
    }
    return {static_cast<std::uint16_t>(sign | half)};
}

}  // namespace PARE_ARCH_NAMESPACE

}  // namespace pare

#endif  // PARE_CORE_DTYPE_HPP
