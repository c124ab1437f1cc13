// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/kernel/simd/vec.hpp>

#include "support/catch.hpp"
#include "support/fenced_array.hpp"
#include "support/guarded_buffer.hpp"

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <vector>

#if PARE_HAS_SIMD

using pare::simd::lanes, pare::simd::vecf, pare::simd::veci;
using pare::testing::fence, pare::testing::fenced_array;

namespace {

std::array<float, lanes> elements(vecf v) {
    std::array<float, lanes> all{};
    v.store_unaligned(all.data());
    return all;
}

std::uint32_t bits_of(float x) { return std::bit_cast<std::uint32_t>(x); }

std::vector<float> counted(std::size_t n) {
    std::vector<float> values(n);
    std::iota(values.begin(), values.end(), 1.0f);
    return values;
}

}  // namespace

TEMPLATE_TEST_CASE("load widens every 16-bit code in every lane", "", pare::f16, pare::bf16) {
    std::vector<TestType> codes(0x10000 + lanes - 1);
    for (std::uint32_t i = 0; i < codes.size(); ++i) codes[i] = {static_cast<std::uint16_t>(i)};
    int wrong = 0;
    for (std::size_t i = 0; i < 0x10000; ++i) {
        const auto wide = elements(pare::simd::load(&codes[i]));
        for (std::size_t l = 0; l < lanes; ++l)
            wrong += bits_of(wide[l]) != bits_of(pare::to_float(codes[i + l]));
    }
    CHECK(wrong == 0);
}

TEMPLATE_TEST_CASE("load reads lanes elements and no more", "", float, pare::f16, pare::bf16) {
    std::vector<TestType> codes;
    for (const float value : counted(lanes)) codes.push_back(pare::from_float<TestType>(value));
    for (const fence side : {fence::before, fence::after}) {
        fenced_array<TestType> fenced(codes, side);
        const auto wide = elements(pare::simd::load(fenced.data()));
        for (std::size_t l = 0; l < lanes; ++l) CHECK(wide[l] == static_cast<float>(l + 1));
    }
}

TEST_CASE("load_even takes every other float and reads two vectors and no more") {
    for (const fence side : {fence::before, fence::after}) {
        fenced_array<float> fenced(counted(2 * lanes), side);
        const auto even = elements(pare::simd::load_even(fenced.data()));
        for (std::size_t l = 0; l < lanes; ++l) CHECK(even[l] == static_cast<float>(2 * l + 1));
    }
}

#if PARE_HAS_MASKED_LOADS
TEST_CASE("load_where reads the lanes it is told, and nothing else") {
    for (std::size_t n = 0; n <= lanes; ++n) {
        fenced_array<float> first(counted(n), fence::after), last(counted(n), fence::before);
        const std::uint32_t bits = (1u << n) - 1;
        const auto low = elements(pare::simd::load_where(bits, first.data()));
        const auto high =
            elements(pare::simd::load_where(bits << (lanes - n), last.data() - (lanes - n)));
        for (std::size_t l = 0; l < lanes; ++l) {
            CHECK(low[l] == (l < n ? static_cast<float>(l + 1) : 0.0f));
            CHECK(high[l] == (l < lanes - n ? 0.0f : static_cast<float>(l + n + 1 - lanes)));
        }
    }
    for (const std::uint32_t beyond : {0u, ~0u << lanes}) {
        const auto some = elements(pare::simd::load_where(0b0101u | beyond, counted(lanes).data()));
        for (std::size_t l = 0; l < lanes; ++l)
            CHECK(some[l] == (l == 0 || l == 2 ? static_cast<float>(l + 1) : 0.0f));
    }
}
#endif

TEST_CASE("store_low_halves drops the upper halves and writes nothing beyond") {
    for (std::size_t misalignment = 0; misalignment < 64; misalignment += 2)
        for (const std::uint32_t first : {0u, 0x7ffffu, 0xfffffff0u, 0x12348000u}) {
            std::array<std::uint32_t, lanes> words{};
            for (std::uint32_t l = 0; l < lanes; ++l) words[l] = first + l * 0x10003u;
            pare::testing::guarded_buffer<std::uint16_t> halves(lanes, misalignment);
            pare::simd::store_low_halves(veci::load_unaligned(words.data()), halves.data());
            int wrong = 0;
            for (std::size_t l = 0; l < lanes; ++l) wrong += halves[l] != (words[l] & 0xffffu);
            CHECK(wrong == 0);
            CHECK(halves.intact());
        }
}

TEST_CASE("load_transposed turns four columns of any stride") {
    for (const std::size_t stride : {4u, 5u, 7u, 16u, 33u})
        for (const fence side : {fence::before, fence::after}) {
            fenced_array<float> rows(counted((lanes - 1) * stride + 4), side);
            const auto columns = pare::simd::load_transposed(rows.data(), stride);
            int wrong = 0;
            for (std::size_t i = 0; i < 4; ++i) {
                const auto column = elements(columns[i]);
                for (std::size_t l = 0; l < lanes; ++l)
                    wrong += column[l] != rows.data()[l * stride + i];
            }
            CAPTURE(stride);
            CHECK(wrong == 0);
        }
}

#endif
