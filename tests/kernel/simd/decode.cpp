// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/kernel/simd/decode.hpp>

#include <pare/core/random.hpp>

#include "support/catch.hpp"
#include "support/fenced_array.hpp"

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

#if PARE_HAS_SIMD

using namespace pare::testing;
using pare::packed::coded;

// Words of any bits, so that every code is met, those that pack() never writes too; 20 rows in two
// tiles, of 200 steps.
TEMPLATE_TEST_CASE("a tile is decoded to the floats that its codes stand for", "",
                   coded<pare::code_i8>, (coded<pare::code_i4, 32, true>), coded<pare::code_i2>,
                   (coded<pare::code_nf4, 64>), coded<pare::code_e4m3>,
                   (coded<pare::code_e5m2, 32>)) {
    using layout = pare::packed::dense<TestType>;
    constexpr std::size_t rows = 20, cols = 200;
    pare::random random(1);
    std::vector<std::uint32_t> codes(layout::n_values(rows, cols));
    for (std::uint32_t& word : codes) word = static_cast<std::uint32_t>(random.next());
    std::vector<std::uint32_t> scales(layout::n_scales(rows, cols));
    for (std::uint32_t& word : scales) {  // from 2^-7 to 2^8; zero points in the lower half
        const auto bits = static_cast<std::uint32_t>(random.next());
        word = (bits & 0x07ff0000u) + 0x3c000000u;
        if (TestType::asymmetric) word |= ((bits & 15) - 8) & 0xffffu;
        else word |= (bits & 0x07ffu) + 0x3c00u;
    }
    for (const fence side : {fence::before, fence::after}) {
        fenced_array<std::uint32_t> values(codes, side), words(scales, side);
        const layout w = layout{rows, cols}.over(values.data(), words.data());
        int wrong = 0;
        for (const auto& [begin, end] : {std::array<std::size_t, 2>{0, cols}, {5, 40}, {64, 65}})
            for (std::size_t row = 0; row < rows; ++row) {
                alignas(64) std::array<float, (cols + 31) * 16> wide;
                pare::simd::decode(w, row / 16, begin, end, wide.data());
                for (std::size_t s = begin; s < end; ++s)
                    wrong += wide[(s - begin / 16 * 16) * 16 + row % 16] != w.value(row, s);
            }
        CHECK(wrong == 0);
    }
}

#endif
