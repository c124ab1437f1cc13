// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/kv/rotary.hpp>

#include "support/catch.hpp"
#include "support/matrix.hpp"
#include "support/rotary.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

using pare::errc, pare::kv::pairing, pare::kv::rotary, pare::kv::rotation;
using pare::testing::frequencies, pare::testing::matrix, pare::testing::turned;

TEST_CASE("a rotation turns pairs of halves or of neighbours by hand") {
    const std::vector<double> quarter{std::acos(0.0), 0.0};  // pair 1 stands still
    std::vector<float> table(4);
    const auto after = [&](pairing pairs, std::int64_t positions) {
        std::vector<float> head{1, 2, 3, 4, 5};
        rotation turn({quarter, pairs}, table);
        turn.set(positions);
        turn.apply(head);
        for (float& x : head) x = std::round(x * 0x1p20f) / 0x1p20f;  // sine and cosine of pi / 2
        return head;
    };
    CHECK(after(pairing::half_split, 1) == std::vector<float>{-3, 2, 1, 4, 5});
    CHECK(after(pairing::interleaved, 1) == std::vector<float>{-2, 1, 3, 4, 5});
    CHECK(after(pairing::half_split, -1) == std::vector<float>{3, 2, -1, 4, 5});
    CHECK(after(pairing::interleaved, 6) == std::vector<float>{-1, -2, 3, 4, 5});
    CHECK(after(pairing::interleaved, 0) == std::vector<float>{1, 2, 3, 4, 5});
}

TEST_CASE("a rotation is exact to rounding at any position, and leaves channels beyond the pairs") {
    constexpr std::size_t dim = 20;
    int wrong = 0;
    for (const pairing pairs : {pairing::half_split, pairing::interleaved})
        for (const std::size_t n : {1u, 4u, 7u, 10u}) {
            const std::vector<double> f = frequencies(n);
            const rotary r{f, pairs};
            std::vector<float> table(2 * n);
            rotation turn(r, table);
            std::uint64_t seed = n;
            for (const std::int64_t p : {0, 1, -1, 1, 100, 4095, 131071, -1000003, 2000000000}) {
                const matrix head = matrix::uniform(1, dim, ++seed);
                std::vector<float> got = head.data();
                turn.set(p);
                turn.apply(got);
                const auto wanted = turned(head.data(), r, static_cast<double>(p));
                for (std::size_t d = 0; d < dim; ++d) {
                    // Sine and cosine, two products and a sum are rounded, each at most 1 or 2.
                    const double allowed = d < 2 * n ? 6 * 0x1p-24 : 0.0;
                    wrong += !(std::fabs(static_cast<double>(got[d]) - wanted[d]) <= allowed);
                }
            }
        }
    CHECK(wrong == 0);
}

TEST_CASE("logits stay what they are when queries and keys are turned on together") {
    constexpr std::size_t dim = 16;
    const std::vector<double> f = frequencies(dim / 2);
    const pairing pairs = GENERATE(pairing::half_split, pairing::interleaved);
    const rotary r{f, pairs};
    std::vector<float> table(dim);
    rotation turn(r, table);
    pare::random random(1);
    int wrong = 0;
    for (std::uint64_t i = 0; i < 200; ++i) {
        matrix q = matrix::uniform(1, dim, 2 * i), k = matrix::uniform(1, dim, 2 * i + 1);
        const auto dot = [&] {
            double sum = 0.0;
            for (std::size_t d = 0; d < dim; ++d)
                sum += static_cast<double>(q(0, d)) * static_cast<double>(k(0, d));
            return sum;
        };
        const double before = dot();
        turn.set(static_cast<std::int64_t>(random.below(200'000)) - 100'000);
        turn.apply(q.view().row_span(0));
        turn.apply(k.view().row_span(0));
        wrong += !(std::fabs(dot() - before) <= 2 * dim * 6 * 0x1p-24);
    }
    CHECK(wrong == 0);
}

TEST_CASE("frequencies that a head cannot have are refused") {
    const std::vector<double> f = frequencies(9);
    const auto code = [&](std::size_t n, std::size_t head_dim) {
        const auto done = check(rotary{std::span(f).first(n)}, head_dim);
        return done ? errc::not_found : done.error().code;
    };
    CHECK(code(9, 18) == errc::not_found);
    CHECK(code(9, 20) == errc::not_found);
    CHECK(code(9, 16) == errc::shape_mismatch);
    CHECK(code(0, 16) == errc::shape_mismatch);
}
