// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/kv/hadamard.hpp>

#include <pare/core/random.hpp>

#include "support/catch.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <vector>

TEST_CASE("hadamard multiplies pieces with the matrix of signs, and twice is the identity") {
    pare::random random(1);
    for (const std::size_t n : {1u, 2u, 4u, 6u, 24u, 64u, 80u, 96u, 128u, 1024u}) {
        const std::size_t piece = pare::kv::hadamard_piece(n);
        CAPTURE(n, piece);
        CHECK(n % piece == 0);
        CHECK(std::has_single_bit(piece));
        CHECK((n / piece) % 2 == 1);
        std::vector<float> x(n);
        for (float& a : x) a = random.symmetric();
        std::vector<float> y = x;
        pare::kv::hadamard(y);
        // log2 additions, a scale and a product round, by u of the sum of all at most.
        const double error = (std::log2(static_cast<double>(piece)) + 3) * 0x1p-24 *
                             std::sqrt(static_cast<double>(piece));
        int wrong = 0;
        for (std::size_t i = 0; i < n; ++i) {
            double sum = 0.0;
            for (std::size_t k = 0; k < piece; ++k) {
                const bool minus = std::popcount(i % piece & k) % 2 != 0;
                const auto a = static_cast<double>(x[i / piece * piece + k]);
                sum += minus ? -a : a;
            }
            wrong += !(std::fabs(static_cast<double>(y[i]) -
                                 sum / std::sqrt(static_cast<double>(piece))) <= error);
        }
        CHECK(wrong == 0);
        pare::kv::hadamard(y);
        for (std::size_t i = 0; i < n; ++i)
            wrong += !(std::fabs(static_cast<double>(y[i]) - static_cast<double>(x[i])) <=
                       error * std::sqrt(static_cast<double>(piece)) + error);
        CHECK(wrong == 0);
    }
}

TEST_CASE("hadamard spreads an outlier over its piece") {
    std::vector<float> x(128);
    x[17] = 100.0f;
    pare::kv::hadamard(x);
    const float expected = 100.0f / std::sqrt(128.0f);
    CHECK(std::all_of(x.begin(), x.end(), [&](float a) {
        return std::fabs(std::fabs(a) - expected) <= expected * 0x1p-22f;
    }));
}
