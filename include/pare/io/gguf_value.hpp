// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_IO_GGUF_VALUE_HPP
#define PARE_IO_GGUF_VALUE_HPP

#include "byte_scanner.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

namespace pare::io {

/// As numbered in the file.
enum class gguf_value_type : std::uint32_t {
    u8,
    i8,
    u16,
    i16,
    u32,
    i32,
    f32,
    boolean,
    text,
    array,
    u64,
    i64,
    f64,
};

inline namespace PARE_ARCH_NAMESPACE {

/// Bytes of a value, indexed by gguf_value_type; 0: as many as it says.
inline constexpr std::array<std::size_t, 13> gguf_value_bytes{1, 1, 2, 2, 4, 4, 4,
                                                              1, 0, 0, 8, 8, 8};

/// A metadata value of a GGUF file, in place: a number, a bool, a text or an array of one of them.
struct gguf_value {
    gguf_value_type type = gguf_value_type::u8;  ///< of the value or of an array's elements
    bool is_array = false;
    std::size_t size = 1;              ///< number of elements
    std::span<const std::byte> bytes;  ///< of a text its characters, of an array as in the file
    std::size_t where = 0;             ///< byte of the file at which these begin

    /// Not checked for being UTF-8. @return wrong_type when it is no text
    result<std::string_view> text() const noexcept {
        if (!is(gguf_value_type::text)) return refusal("the metadata value is no text");
        return std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    }
    /// @return wrong_type
    result<bool> boolean() const noexcept {
        if (!is(gguf_value_type::boolean)) return refusal("the metadata value is no bool");
        return bytes[0] != std::byte{0};
    }
    /// An integer or a float, rounded to double. @return wrong_type
    result<double> number() const noexcept;
    /// @return wrong_type when it is no integer or a negative one
    result<std::uint64_t> unsigned_integer() const noexcept;

    /// Calls visit(gguf_value) with each element of an array in its order, or with a single value.
    template <class Visitor>
    void for_each(Visitor&& visit) const noexcept;

  private:
    bool is(gguf_value_type wanted) const noexcept { return type == wanted && !is_array; }
    error refusal(const char* message) const noexcept { return {errc::wrong_type, message, where}; }
    // use(T) of a single number; false when it is none.
    template <class Use>
    bool visit_number(Use&& use) const noexcept;
};

template <class Use>
bool gguf_value::visit_number(Use&& use) const noexcept {
    const auto as = [&]<class T>(T value) {
        std::memcpy(&value, bytes.data(), sizeof(T));
        use(value);
        return true;
    };
    if (is_array) return false;
    switch (type) {
        case gguf_value_type::u8:
            return as(std::uint8_t{});
        case gguf_value_type::i8:
            return as(std::int8_t{});
        case gguf_value_type::u16:
            return as(std::uint16_t{});
        case gguf_value_type::i16:
            return as(std::int16_t{});
        case gguf_value_type::u32:
            return as(std::uint32_t{});
        case gguf_value_type::i32:
            return as(std::int32_t{});
        case gguf_value_type::f32:
            return as(float{});
        case gguf_value_type::u64:
            return as(std::uint64_t{});
        case gguf_value_type::i64:
            return as(std::int64_t{});
        case gguf_value_type::f64:
            return as(double{});
        case gguf_value_type::boolean:
        case gguf_value_type::text:
        case gguf_value_type::array:
            break;
    }
    return false;
}

inline result<double> gguf_value::number() const noexcept {
    double found = 0.0;
    if (!visit_number([&](auto value) { found = static_cast<double>(value); }))
        return refusal("the metadata value is no number");
    return found;
}

inline result<std::uint64_t> gguf_value::unsigned_integer() const noexcept {
    std::uint64_t found = 0;
    bool fits = false;
    visit_number([&](auto value) {
        if constexpr (std::is_integral_v<decltype(value)>) {
            found = static_cast<std::uint64_t>(value);
            fits = value >= 0;
        }
    });
    if (!fits) return refusal("the metadata value is no unsigned integer");
    return found;
}

template <class Visitor>
void gguf_value::for_each(Visitor&& visit) const noexcept {
    if (!is_array) return visit(*this);
    const std::size_t each = gguf_value_bytes[static_cast<std::size_t>(type)];
    byte_scanner in(bytes);
    for (std::size_t i = 0; i < size; ++i) {
        gguf_value element;
        element.type = type;
        element.bytes = each != 0 ? in.bytes(each) : std::as_bytes(std::span(in.text()));
        element.where = where + in.where() - element.bytes.size();
        visit(std::as_const(element));
    }
}

}  // namespace PARE_ARCH_NAMESPACE

}  // namespace pare::io

#endif  // PARE_IO_GGUF_VALUE_HPP
