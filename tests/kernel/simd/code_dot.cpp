// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/kernel/simd/code_dot.hpp>

#include <pare/core/random.hpp>

#include "support/catch.hpp"
#include "support/guarded_buffer.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#if PARE_HAS_CODE_DOT

using pare::simd::lanes, pare::simd::parts_stride, pare::simd::vecf, pare::simd::veci;

namespace {

// 256 hi + lo of number i of row r.
int whole_of(const std::byte* parts, std::size_t r, std::size_t i) {
    const std::byte* const hi = parts + i / 4 * parts_stride + r * 8 + i % 4;
    return 256 * static_cast<std::int8_t>(hi[0]) + static_cast<std::int8_t>(hi[4]);
}

}  // namespace

TEST_CASE("dot adds the products of four unsigned codes with four signed parts to every lane") {
    pare::random random(1);
    int wrong = 0;
    for (int draw = 0; draw < 200; ++draw) {
        std::array<std::uint32_t, lanes> codes{}, sums{};
        std::array<std::byte, 4> parts{};
        for (auto& c : codes) c = static_cast<std::uint32_t>(draw == 0 ? ~0ull : random.next());
        for (auto& s : sums) s = static_cast<std::uint32_t>(random.below(1 << 20));
        for (auto& p : parts) p = static_cast<std::byte>(draw == 0 ? 0x80 : random.below(256));
        const auto start = reinterpret_cast<pare::simd::word_sums>(
            static_cast<veci::register_type>(veci::load_unaligned(sums.data())));
        std::array<float, lanes> got{};
        pare::simd::to_floats(pare::simd::dot(start, veci::load_unaligned(codes.data()),
                                              pare::simd::spread_four(parts.data())))
            .store_unaligned(got.data());
        for (std::size_t l = 0; l < lanes; ++l) {
            int expected = static_cast<int>(sums[l]);
            for (std::size_t b = 0; b < 4; ++b)
                expected += static_cast<int>(codes[l] >> (8 * b) & 0xff) *
                            static_cast<std::int8_t>(parts[b]);
            wrong += static_cast<int>(got[l]) != expected;
        }
    }
    CHECK(wrong == 0);
}

TEST_CASE("parts are off by half a step at most, and store_parts says by how much") {
    pare::random random(2);
    int wrong = 0, bites = 0;
    for (const float scale : {1.0f, 3e-9f, 1e-30f, 7e20f, 65504.0f})
        for (std::size_t row = 0; row < 4; ++row) {
            constexpr std::size_t n = 64;
            std::vector<float> x(n);
            for (float& a : x) a = scale * random.symmetric();
            x[5] = scale, x[6] = -scale, x[7] = 0.0f;
            pare::testing::guarded_buffer<std::byte> parts(n / 4 * parts_stride);
            const auto step = pare::simd::parts_for(scale);
            const double half = static_cast<double>(scale) / 65278;
            for (std::size_t i = 0; i < n; i += lanes) {
                std::array<float, lanes> left{};
                pare::simd::store_parts(vecf::load_unaligned(&x[i]), step,
                                        parts.data() + i / 4 * parts_stride + row * 8)
                    .store_unaligned(left.data());
                for (std::size_t l = 0; l < lanes; ++l) {
                    const double kept =
                        static_cast<double>(step.step) * whole_of(parts.data(), row, i + l);
                    const double off = static_cast<double>(x[i + l]) - kept;
                    // The step, the quotient and the remainder round once each.
                    wrong += !(std::fabs(off) <= half + 4 * 0x1p-24 * static_cast<double>(scale));
                    wrong += !(std::fabs(off - static_cast<double>(left[l])) <=
                               0x1p-24 * static_cast<double>(scale));
                    bites += std::fabs(off) > half / 2;
                }
            }
            wrong += whole_of(parts.data(), row, 5) != 32639;
            wrong += whole_of(parts.data(), row, 6) != -32639;
            wrong += whole_of(parts.data(), row, 7) != 0;
            wrong += !parts.intact();
            for (std::size_t i = 0; i < n; ++i)  // other rows are left alone
                for (std::size_t r = 0; r < 4; ++r)
                    wrong += r != row && whole_of(parts.data(), r, i) != 0;
        }
    CHECK(wrong == 0);
    CHECK(bites > 500);
}

TEST_CASE("what is too small for a finite inverse has no parts and is left out whole") {
    for (const float largest : {0.0f, 1e-34f, 1e-40f}) {
        const auto step = pare::simd::parts_for(largest);
        std::array<std::byte, lanes / 4 * parts_stride> parts;
        parts.fill(std::byte{7});
        std::array<float, lanes> left{};
        pare::simd::store_parts(vecf(largest), step, parts.data()).store_unaligned(left.data());
        CHECK(step.step == 0.0f);
        CHECK(whole_of(parts.data(), 0, 0) == 0);
        CHECK(left[0] == largest);
    }
}

#endif
