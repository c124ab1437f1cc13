// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_IO_TENSOR_INFO_HPP
#define PARE_IO_TENSOR_INFO_HPP

#include "../core/dtype.hpp"
#include "../core/status.hpp"
#include "../core/tensor_view.hpp"

#include <array>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>

namespace pare::io {

static_assert(std::endian::native == std::endian::little, "safetensors data is little-endian");

/// The longest header that is read or written: the reference implementation's limit.
inline constexpr std::size_t max_header_bytes = 100'000'000;

/// Element types that safetensors files may hold.
enum class dtype : std::uint8_t {
    boolean,
    f4,
    f6_e2m3,
    f6_e3m2,
    u8,
    i8,
    f8_e5m2,
    f8_e4m3,
    f8_e8m0,
    f8_e4m3fnuz,
    f8_e5m2fnuz,
    i16,
    u16,
    f16,
    bf16,
    i32,
    u32,
    f32,
    c64,
    f64,
    i64,
    u64,
};

struct dtype_description {
    std::string_view name;  ///< in the file
    std::size_t bits;       ///< of one element
};

inline namespace PARE_ARCH_NAMESPACE {

/// Indexed by dtype.
inline constexpr std::array<dtype_description, 22> dtypes{{
    {"BOOL", 8},        {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"U8", 8},
    {"I8", 8},          {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8},
    {"F8_E5M2FNUZ", 8}, {"I16", 16},    {"U16", 16},    {"F16", 16},    {"BF16", 16},
    {"I32", 32},        {"U32", 32},    {"F32", 32},    {"C64", 64},    {"F64", 64},
    {"I64", 64},        {"U64", 64},
}};
static_assert(dtypes[static_cast<std::size_t>(dtype::u64)].name == "U64");
static_assert(dtypes[static_cast<std::size_t>(dtype::bf16)].name == "BF16");

constexpr const dtype_description& describe(dtype type) noexcept {
    return dtypes[static_cast<std::size_t>(type)];
}

/// The dtype whose elements are Ts.
template <class T>
constexpr dtype dtype_of() noexcept {
    if constexpr (std::same_as<T, float>) return dtype::f32;
    else if constexpr (std::same_as<T, double>) return dtype::f64;
    else if constexpr (std::same_as<T, pare::f16>) return dtype::f16;
    else if constexpr (std::same_as<T, pare::bf16>) return dtype::bf16;
    else if constexpr (std::same_as<T, std::int8_t>) return dtype::i8;
    else if constexpr (std::same_as<T, std::uint8_t>) return dtype::u8;
    else if constexpr (std::same_as<T, std::int16_t>) return dtype::i16;
    else if constexpr (std::same_as<T, std::uint16_t>) return dtype::u16;
    else if constexpr (std::same_as<T, std::int32_t>) return dtype::i32;
    else if constexpr (std::same_as<T, std::uint32_t>) return dtype::u32;
    else if constexpr (std::same_as<T, std::int64_t>) return dtype::i64;
    else {
        static_assert(std::same_as<T, std::uint64_t>, "dtype_of: no safetensors dtype holds a T");
        return dtype::u64;
    }
}

/// Bytes of a row-major tensor, without padding; nothing when the size overflows or is not whole.
constexpr std::optional<std::size_t> required_bytes(dtype type,
                                                    std::span<const std::size_t> shape) noexcept {
    std::size_t bits = describe(type).bits;
    for (const std::size_t extent : shape) {
        if (extent != 0 && bits > static_cast<std::size_t>(-1) / extent) return std::nullopt;
        bits *= extent;
    }
    if (bits % 8 != 0) return std::nullopt;
    return bits / 8;
}

}  // namespace PARE_ARCH_NAMESPACE

/// Number of elements of that shape.
PARE_ALWAYS_INLINE constexpr std::size_t n_elements(std::span<const std::size_t> shape) noexcept {
    std::size_t n = 1;
    for (const std::size_t extent : shape) n *= extent;
    return n;
}

/// A tensor in a file: its description, and its bytes in the file's memory.
struct tensor_info {
    static constexpr std::size_t max_rank = 8;

    std::string_view name;
    dtype type = dtype::u8;
    std::uint8_t rank = 0;
    std::array<std::size_t, max_rank> extents{};
    std::span<const std::byte> bytes;  ///< little-endian, row-major, of any alignment
    std::size_t where = 0;             ///< byte of the file at which its description begins

    constexpr std::span<const std::size_t> shape() const noexcept { return {extents.data(), rank}; }
    /// Number of elements.
    constexpr std::size_t size() const noexcept { return n_elements(shape()); }
};

inline namespace PARE_ARCH_NAMESPACE {

/// The elements in place. @return wrong_type when they are not Ts or not aligned for T in memory.
template <class T>
result<std::span<const T>> elements(const tensor_info& tensor) noexcept {
    if (tensor.type != dtype_of<T>())
        return error{errc::wrong_type, "the tensor has another dtype", tensor.where};
    if (reinterpret_cast<std::uintptr_t>(tensor.bytes.data()) % alignof(T) != 0)
        return error{errc::wrong_type, "the tensor is not aligned for its type", tensor.where};
    return std::span<const T>(reinterpret_cast<const T*>(tensor.bytes.data()), tensor.size());
}

/// The tensor in place as a row-major view. @return as elements(); shape_mismatch when it does not
/// have Rank extents.
template <class T, std::size_t Rank>
result<tensor_view<const T, Rank>> view_as(const tensor_info& tensor) noexcept {
    const auto all = elements<T>(tensor);
    if (!all) return all.error();
    if (tensor.rank != Rank)
        return error{errc::shape_mismatch, "the tensor has another rank", tensor.where};
    std::array<std::size_t, Rank> extents{};
    for (std::size_t r = 0; r < Rank; ++r) extents[r] = tensor.extents[r];
    return tensor_view<const T, Rank>(all->data(), extents);
}

namespace detail {

template <class T>
void copy_as_float(std::span<const std::byte> bytes, std::span<float> out) noexcept {
    for (std::size_t i = 0; i < out.size(); ++i) {
        T value;
        std::memcpy(&value, bytes.data() + i * sizeof(T), sizeof(T));
        out[i] = to_float(value);
    }
}

}  // namespace detail

/// Copies an F32, F16 or BF16 tensor of any alignment, exactly. `out` has tensor.size() elements.
/// @return wrong_type, shape_mismatch.
inline status read_as_float(const tensor_info& tensor, std::span<float> out) noexcept {
    if (out.size() != tensor.size())
        return error{errc::shape_mismatch, "one float per element of the tensor", tensor.where};
    if (tensor.type == dtype::f32) detail::copy_as_float<float>(tensor.bytes, out);
    else if (tensor.type == dtype::f16) detail::copy_as_float<pare::f16>(tensor.bytes, out);
    else if (tensor.type == dtype::bf16) detail::copy_as_float<pare::bf16>(tensor.bytes, out);
    else return error{errc::wrong_type, "only F32, F16 and BF16 are read as float", tensor.where};
    return {};
}

}  // namespace PARE_ARCH_NAMESPACE

}  // namespace pare::io

#endif  // PARE_IO_TENSOR_INFO_HPP
