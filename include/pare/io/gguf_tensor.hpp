// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_IO_GGUF_TENSOR_HPP
#define PARE_IO_GGUF_TENSOR_HPP

#include "tensor_info.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>

namespace pare::io {

/// What is told apart here of the element types of GGUF; describe() knows the others too.
enum class gguf_type : std::uint32_t {
    f32 = 0,
    f16 = 1,
    q4_0 = 2,
    q8_0 = 8,
    i8 = 24,
    i16 = 25,
    i32 = 26,
    i64 = 27,
    f64 = 28,
    bf16 = 30,
};

struct gguf_type_description {
    std::string_view name;        ///< empty: there is no such type
    std::size_t elements = 0;     ///< of a block, consecutive in a row
    std::size_t bytes = 0;        ///< of a block
    std::optional<dtype> same{};  ///< the type that safetensors files have too
};

inline namespace PARE_ARCH_NAMESPACE {

/// Indexed by gguf_type.
inline constexpr std::array<gguf_type_description, 40> gguf_types{{
    {"F32", 1, 4, dtype::f32},
    {"F16", 1, 2, dtype::f16},
    {"Q4_0", 32, 18},
    {"Q4_1", 32, 20},
    {},
    {},
    {"Q5_0", 32, 22},
    {"Q5_1", 32, 24},
    {"Q8_0", 32, 34},
    {"Q8_1", 32, 36},
    {"Q2_K", 256, 84},
    {"Q3_K", 256, 110},
    {"Q4_K", 256, 144},
    {"Q5_K", 256, 176},
    {"Q6_K", 256, 210},
    {"Q8_K", 256, 292},
    {"IQ2_XXS", 256, 66},
    {"IQ2_XS", 256, 74},
    {"IQ3_XXS", 256, 98},
    {"IQ1_S", 256, 50},
    {"IQ4_NL", 32, 18},
    {"IQ3_S", 256, 110},
    {"IQ2_S", 256, 82},
    {"IQ4_XS", 256, 136},
    {"I8", 1, 1, dtype::i8},
    {"I16", 1, 2, dtype::i16},
    {"I32", 1, 4, dtype::i32},
    {"I64", 1, 8, dtype::i64},
    {"F64", 1, 8, dtype::f64},
    {"IQ1_M", 256, 56},
    {"BF16", 1, 2, dtype::bf16},
    {},
    {},
    {},
    {"TQ1_0", 256, 54},
    {"TQ2_0", 256, 66},
    {},
    {},
    {},
    {"MXFP4", 32, 17},
}};
static_assert(gguf_types[static_cast<std::size_t>(gguf_type::q8_0)].name == "Q8_0");
static_assert(gguf_types[static_cast<std::size_t>(gguf_type::bf16)].name == "BF16");

/// @pre a type of gguf_types
constexpr const gguf_type_description& describe(gguf_type type) noexcept {
    return gguf_types[static_cast<std::size_t>(type)];
}

/// Bytes of a tensor of this type and shape, slowest extent first; nothing when the size overflows
/// or rows are not whole blocks.
constexpr std::optional<std::size_t> required_bytes(gguf_type type,
                                                    std::span<const std::size_t> shape) noexcept {
    const gguf_type_description& is = describe(type);
    if ((shape.empty() ? 1 : shape.back()) % is.elements != 0) return std::nullopt;
    std::size_t n = 1;
    for (const std::size_t extent : shape) {
        if (extent != 0 && n > static_cast<std::size_t>(-1) / is.bytes / extent)
            return std::nullopt;
        n *= extent;
    }
    return n / is.elements * is.bytes;
}

}  // namespace PARE_ARCH_NAMESPACE

/// A tensor in a GGUF file: its description, and its bytes in the file's memory.
struct gguf_tensor {
    static constexpr std::size_t max_rank = 4;

    std::string_view name;
    gguf_type type = gguf_type::f32;
    std::uint8_t rank = 0;
    std::array<std::size_t, max_rank>
        extents{};                     ///< slowest first, as in tensor_info: a matrix is
                                       ///< (rows, cols), in the file's order {cols, rows}
    std::uint64_t offset = 0;          ///< from the start of the file's data
    std::span<const std::byte> bytes;  ///< row-major, in blocks of describe(type)
    std::size_t where = 0;             ///< byte of the file at which its description begins

    constexpr std::span<const std::size_t> shape() const noexcept { return {extents.data(), rank}; }
    /// Number of elements.
    constexpr std::size_t size() const noexcept { return n_elements(shape()); }
};

inline namespace PARE_ARCH_NAMESPACE {

/// The tensor as one of a safetensors file. @return wrong_type when that has no such elements
inline result<tensor_info> as_tensor_info(const gguf_tensor& tensor) noexcept {
    const auto type = describe(tensor.type).same;
    if (!type) return error{errc::wrong_type, "safetensors has no such elements", tensor.where};
    tensor_info same{.name = tensor.name,
                     .type = *type,
                     .rank = tensor.rank,
                     .bytes = tensor.bytes,
                     .where = tensor.where};
    for (std::size_t r = 0; r < tensor.rank; ++r) same.extents[r] = tensor.extents[r];
    return same;
}

namespace detail {

/// Blocks of 32 elements behind a scale d in f16: decode(bytes, d, out) writes those of one, each a
/// small integer times d, which float holds exactly.
template <std::size_t Bytes>
void read_blocks(std::span<const std::byte> from, std::span<float> out, auto&& decode) noexcept {
    for (; !out.empty(); from = from.subspan(Bytes), out = out.subspan(32)) {
        pare::f16 scale;
        std::memcpy(&scale, from.data(), sizeof(scale));
        decode(from.template subspan<sizeof(scale), Bytes - sizeof(scale)>(), to_float(scale), out);
    }
}

inline void read_q8_0(std::span<const std::byte> from, std::span<float> out) noexcept {
    read_blocks<34>(from, out, [](auto codes, float d, std::span<float> to) {
        for (std::size_t i = 0; i < 32; ++i)
            to[i] = static_cast<float>(static_cast<std::int8_t>(codes[i])) * d;
    });
}

// The low nibbles are the first half, the high ones the second.
inline void read_q4_0(std::span<const std::byte> from, std::span<float> out) noexcept {
    read_blocks<18>(from, out, [](auto codes, float d, std::span<float> to) {
        for (std::size_t i = 0; i < 16; ++i) {
            const int pair = std::to_integer<int>(codes[i]);
            to[i] = static_cast<float>((pair & 15) - 8) * d;
            to[i + 16] = static_cast<float>((pair >> 4) - 8) * d;
        }
    });
}

}  // namespace detail

/// Copies the elements of F32, F16, BF16, Q8_0 or Q4_0 as floats, exactly. Any alignment.
/// @return shape_mismatch unless out has tensor.size() elements, wrong_type for other types
inline status read_as_float(const gguf_tensor& tensor, std::span<float> out) noexcept {
    if (out.size() != tensor.size())
        return error{errc::shape_mismatch, "one float per element of the tensor", tensor.where};
    if (tensor.type == gguf_type::q8_0) detail::read_q8_0(tensor.bytes, out);
    else if (tensor.type == gguf_type::q4_0) detail::read_q4_0(tensor.bytes, out);
    else {
        const auto same = as_tensor_info(tensor);
        if (same && read_as_float(*same, out)) return {};
        return error{errc::wrong_type, "only F32, F16, BF16, Q8_0 and Q4_0 are read as float",
                     tensor.where};
    }
    return {};
}

}  // namespace PARE_ARCH_NAMESPACE

}  // namespace pare::io

#endif  // PARE_IO_GGUF_TENSOR_HPP
