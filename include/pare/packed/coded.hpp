// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PACKED_CODED_HPP
#define PARE_PACKED_CODED_HPP

#include "../core/weight_code.hpp"

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

namespace pare::packed {

/// What a code stands for: (number - zero) * scale. The scale is one of bf16 and not negative.
struct grid {
    float scale = 0.0f;
    int zero = 0;  ///< 0 unless asymmetric

    friend constexpr bool operator==(const grid&, const grid&) = default;
};

/// Where a code lies: in the bits from `shift` on of a word of values.
struct code_place {
    std::size_t word;
    std::size_t shift;
};

/// A stored type: codes, Group weights of a row to a scale (0: the whole row), with a zero point
/// where Asymmetric. Not the type of an element: codes and scales lie in 32-bit words.
template <weight_code Code, std::size_t Group = 0, bool Asymmetric = false>
struct coded {
    static_assert(Group % 32 == 0 && Group <= 1024 && 1024 % (Group == 0 ? 1 : Group) == 0,
                  "groups are of 32, 64, 128, ... weights");
    static_assert(!Asymmetric || integer_code<Code>, "only whole numbers have a zero point");
    using code = Code;
    static constexpr std::size_t group = Group;
    static constexpr bool asymmetric = Asymmetric;
    static constexpr int bits = Code::bits;

    static constexpr std::size_t n_groups(std::size_t n) noexcept {
        return Group == 0 ? (n > 0) : (n + Group - 1) / Group;
    }
    static constexpr std::size_t group_of(std::size_t i) noexcept {
        if constexpr (Group == 0) return 0;
        else return i / Group;
    }
    /// Words of the scales of that many groups: one each where Asymmetric, else one for two.
    static constexpr std::size_t scale_words(std::size_t groups) noexcept {
        return Asymmetric ? groups : (groups + 1) / 2;
    }

    static constexpr float weight(std::uint8_t number, const grid& of) noexcept {
        return (Code::decode(number) - static_cast<float>(of.zero)) * of.scale;
    }
    static constexpr std::uint8_t encode(float weight, const grid& of) noexcept {
        if (!(of.scale > 0.0f)) {
            if constexpr (Asymmetric) return Code::of(of.zero);
            return 0;
        }
        if constexpr (Asymmetric) {
            constexpr auto low = static_cast<float>(Code::least);
            return Code::of(Code::nearest(weight / of.scale + static_cast<float>(of.zero), low));
        } else return Code::encode(weight / of.scale);
    }

    /// The grid of a group in its word, and a word with that grid in its place.
    static constexpr grid read_grid(std::uint32_t word, std::size_t group_number) noexcept {
        if constexpr (Asymmetric)
            return {std::bit_cast<float>(word & 0xffff0000u),
                    static_cast<std::int16_t>(static_cast<std::uint16_t>(word))};
        else return {std::bit_cast<float>(group_number % 2 == 0 ? word << 16 : word & 0xffff0000u)};
    }
    static constexpr std::uint32_t with_grid(std::uint32_t word, std::size_t group_number,
                                             const grid& of) noexcept {
        const std::uint32_t scale = std::bit_cast<std::uint32_t>(of.scale);
        if constexpr (Asymmetric)
            return (scale & 0xffff0000u) | (static_cast<std::uint32_t>(of.zero) & 0xffffu);
        else if (group_number % 2 == 0) return (word & 0xffff0000u) | scale >> 16;
        else return (word & 0xffffu) | (scale & 0xffff0000u);
    }
    /// Whether a kernel may use it: finite, not negative, its zero point a number of the code.
    static constexpr bool is_sound(const grid& of) noexcept {
        if (!is_finite(of.scale) || std::bit_cast<std::uint32_t>(of.scale) >> 31 != 0) return false;
        if constexpr (Asymmetric)
            return Code::least <= of.zero && static_cast<float>(of.zero) <= Code::largest;
        return true;
    }
};

template <class T>
inline constexpr bool is_coded = false;
template <class Code, std::size_t Group, bool Asymmetric>
inline constexpr bool is_coded<coded<Code, Group, Asymmetric>> = true;

/// What the weights of a layout are stored as.
template <class T>
concept storage = float_storage<T> || is_coded<T>;

/// The type of the array that they lie in.
template <storage T>
using element_of = std::conditional_t<is_coded<T>, std::uint32_t, T>;

inline namespace PARE_ARCH_NAMESPACE {
namespace detail {

// "i4:g32:a": the code, its group unless that is a row, and whether it is asymmetric.
template <class T>
inline constexpr auto coded_name = [] {
    std::array<char, 16> text{};
    std::size_t n = 0;
    const auto add = [&](std::string_view part) {
        for (const char c : part) text[n++] = c;
    };
    add(T::code::name);
    if (T::group != 0) {
        add(":g");
        std::array<char, 4> digits{};
        std::size_t n_digits = 0;
        for (std::size_t left = T::group; left > 0; left /= 10)
            digits[n_digits++] = static_cast<char>('0' + left % 10);
        while (n_digits > 0) text[n++] = digits[--n_digits];
    }
    if (T::asymmetric) add(":a");
    return text;
}();

}  // namespace detail
}  // namespace PARE_ARCH_NAMESPACE

/// "f32", "bf16", "i8" with a scale a row, "i4:g32" with one for 32 weights, "i4:g32:a" with a
/// zero point.
template <storage T>
constexpr std::string_view storage_name() noexcept {
    if constexpr (is_coded<T>) return detail::coded_name<T>.data();
    else return dtype_name<T>();
}

}  // namespace pare::packed

#endif  // PARE_PACKED_CODED_HPP
