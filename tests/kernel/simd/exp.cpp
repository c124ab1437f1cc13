// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/kernel/simd/exp.hpp>

#include "support/catch.hpp"

#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

#if PARE_HAS_SIMD

using pare::simd::exp_of_negative, pare::simd::lanes, pare::simd::vecf;

namespace {

std::array<float, lanes> exp_of(const std::array<float, lanes>& x) {
    std::array<float, lanes> y{};
    exp_of_negative(vecf::load_unaligned(x.data())).store_unaligned(y.data());
    return y;
}
float exp_of(float x) {
    std::array<float, lanes> all{};
    all.fill(x);
    return exp_of(all)[lanes - 1];
}

}  // namespace

TEST_CASE("exp_of_negative is e^x to 2 units in the last place") {
    // Every 997th float from -0 to -87, which meets every exponent and all ends of mantissas.
    const auto last = std::bit_cast<std::uint32_t>(-87.0f);
    double worst = 0.0;
    int n_exponents = 0;
    for (std::uint32_t first = 0x80000000u; first <= last;) {
        std::array<float, lanes> x{};
        for (float& each : x) {
            each = std::bit_cast<float>(first < last ? first : last);
            n_exponents += (first >> 23) != ((first + 997) >> 23);
            first += 997;
        }
        const auto y = exp_of(x);
        for (std::size_t l = 0; l < lanes; ++l) {
            const double exact = std::exp(static_cast<double>(x[l]));
            const double unit = std::ldexp(1.0, std::ilogb(exact) - 23);
            const double error = std::fabs(static_cast<double>(y[l]) - exact) / unit;
            if (!(error <= worst)) worst = error;
        }
    }
    CHECK(worst <= 2.0);
    CHECK(worst > 0.5);  // nothing better than rounding
    CHECK(n_exponents > 127);
}

TEST_CASE("exp_of_negative is 1 at 0 and stays at e^-87 below -87") {
    CHECK(exp_of(0.0f) == 1.0f);
    CHECK(exp_of(-0.0f) == 1.0f);
    CHECK(exp_of(-std::numeric_limits<float>::denorm_min()) == 1.0f);
    const float least = exp_of(-87.0f);
    CHECK(least == Approx(std::exp(-87.0)).epsilon(2 * 0x1p-23));
    CHECK(least >= std::numeric_limits<float>::min());  // no subnormals, which are slow
    for (const float x : {-87.0001f, -88.0f, -1000.0f, -1e30f, -std::numeric_limits<float>::max()})
        CHECK(exp_of(x) == least);
#if !__FINITE_MATH_ONLY__
    CHECK(exp_of(-std::numeric_limits<float>::infinity()) == least);
#endif
}

#endif
