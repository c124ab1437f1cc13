// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/io/tensor_info.hpp>

#include "support/catch.hpp"

#include <array>
#include <cstring>
#include <limits>
#include <vector>

using pare::io::dtype;
using pare::io::tensor_info;

namespace {

constexpr std::size_t largest = std::numeric_limits<std::size_t>::max();

/// A tensor over `bytes` that begins `offset` bytes after an aligned address.
struct placed {
    placed(dtype type, std::vector<std::size_t> shape, const void* bytes, std::size_t n_bytes,
           std::size_t offset) {
        std::memcpy(memory.data() + offset, bytes, n_bytes);
        tensor.type = type;
        for (const std::size_t e : shape) tensor.extents[tensor.rank++] = e;
        tensor.bytes = {memory.data() + offset, n_bytes};
        tensor.where = 7;
    }
    alignas(16) std::array<std::byte, 128> memory{};
    tensor_info tensor;
};

}  // namespace

TEST_CASE("required_bytes is exact and refuses what overflows or splits a byte") {
    struct row {
        dtype type;
        std::vector<std::size_t> shape;
        std::optional<std::size_t> bytes;
    };
    const std::size_t half = std::size_t{1} << 32;
    for (const row& r : std::vector<row>{
             {dtype::f32, {}, 4},
             {dtype::f32, {3, 5}, 60},
             {dtype::bf16, {7}, 14},
             {dtype::c64, {2, 2}, 32},
             {dtype::f4, {6}, 3},
             {dtype::f4, {3}, std::nullopt},
             {dtype::f6_e2m3, {4}, 3},
             {dtype::f6_e3m2, {2}, std::nullopt},
             {dtype::boolean, {0}, 0},
             {dtype::f32, {0, largest}, 0},
             {dtype::u8, {half, half}, std::nullopt},
             {dtype::u8, {largest}, std::nullopt},
             {dtype::u8, {largest / 8}, largest / 8},
             {dtype::f64, {largest / 64}, largest / 64 * 8},
             {dtype::f64, {largest / 64 + 1}, std::nullopt},
             {dtype::f32, {largest, largest, 0}, std::nullopt},
             {dtype::f32, {half, half / 2, 2, 4}, std::nullopt},
         }) {
        CAPTURE(r.shape, static_cast<int>(r.type));
        CHECK(pare::io::required_bytes(r.type, r.shape) == r.bytes);
    }
}

TEMPLATE_TEST_CASE("elements gives typed access where dtype and alignment allow", "", float, double,
                   pare::f16, pare::bf16, std::int8_t, std::uint8_t, std::int16_t, std::uint16_t,
                   std::int32_t, std::uint32_t, std::int64_t, std::uint64_t) {
    const dtype type = pare::io::dtype_of<TestType>();
    CHECK(pare::io::describe(type).bits == 8 * sizeof(TestType));

    std::array<unsigned char, 6 * sizeof(TestType)> raw;
    for (std::size_t i = 0; i < raw.size(); ++i) raw[i] = static_cast<unsigned char>(i + 1);
    const placed aligned(type, {2, 3}, raw.data(), raw.size(), 16);
    const auto all = pare::io::elements<TestType>(aligned.tensor);
    REQUIRE(all);
    CHECK(all->size() == 6);
    CHECK(std::memcmp(all->data(), raw.data(), raw.size()) == 0);

    const auto view = pare::io::view_as<TestType, 2>(aligned.tensor);
    REQUIRE(view);
    CHECK(view->rows() == 2);
    CHECK(view->cols() == 3);
    CHECK(view->row_stride() == 3);
    const auto flat = pare::io::view_as<TestType, 1>(aligned.tensor);
    REQUIRE_FALSE(flat);
    CHECK(flat.error().code == pare::errc::shape_mismatch);

    const placed unaligned(type, {6}, raw.data(), raw.size(), 1);
    CHECK(pare::io::elements<TestType>(unaligned.tensor).has_value() == (sizeof(TestType) == 1));

    using other = std::conditional_t<std::is_same_v<TestType, float>, std::int32_t, float>;
    const auto wrong = pare::io::elements<other>(aligned.tensor);
    REQUIRE_FALSE(wrong);
    CHECK(wrong.error().code == pare::errc::wrong_type);
    CHECK(wrong.error().where == 7);
}

TEMPLATE_TEST_CASE("read_as_float is exact at every alignment", "", float, pare::f16, pare::bf16) {
    const std::array values{0.0f,
                            -0.0f,
                            1.0f,
                            -1.5f,
                            0.333251953125f,
                            65504.0f,
                            6e-8f,
                            std::numeric_limits<float>::infinity()};
    std::array<TestType, values.size()> stored;
    for (std::size_t i = 0; i < values.size(); ++i)
        stored[i] = pare::from_float<TestType>(values[i]);
    for (std::size_t offset = 0; offset < 8; ++offset) {
        const placed at(pare::io::dtype_of<TestType>(), {2, 4}, stored.data(), sizeof(stored),
                        offset);
        std::array<float, values.size()> out{};
        REQUIRE(pare::io::read_as_float(at.tensor, out));
        for (std::size_t i = 0; i < out.size(); ++i)
            CHECK(std::bit_cast<std::uint32_t>(out[i]) ==
                  std::bit_cast<std::uint32_t>(pare::to_float(stored[i])));
    }
}

TEST_CASE("read_as_float refuses other types and sizes") {
    const std::array<std::int32_t, 4> raw{1, 2, 3, 4};
    const placed integers(dtype::i32, {4}, raw.data(), sizeof(raw), 0);
    std::array<float, 4> out{};
    const auto wrong = pare::io::read_as_float(integers.tensor, out);
    REQUIRE_FALSE(wrong);
    CHECK(wrong.error().code == pare::errc::wrong_type);

    const placed floats(dtype::f32, {4}, raw.data(), sizeof(raw), 0);
    const auto shorter = pare::io::read_as_float(floats.tensor, std::span(out).first(3));
    REQUIRE_FALSE(shorter);
    CHECK(shorter.error().code == pare::errc::shape_mismatch);
}
