// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/kernel/transpose.hpp>

#include <pare/core/thread_pool.hpp>

#include "support/catch.hpp"
#include "support/guarded_buffer.hpp"
#include "support/matrix.hpp"

#include <cstddef>

using pare::matrix_view;
using pare::testing::guarded_buffer, pare::testing::matrix;

TEST_CASE("transpose copies every element of every shape, and nothing else") {
    pare::thread_pool two(2);
    for (const std::size_t tokens : {0u, 1u, 3u, 15u, 16u, 17u, 64u, 65u, 131u})
        for (const std::size_t features : {0u, 1u, 3u, 4u, 5u, 16u, 23u}) {
            const matrix x = matrix::uniform(tokens, features, 1);
            guarded_buffer<float> memory(features * (tokens + 2), sizeof(float));
            for (float& f : memory) f = -7.0f;
            const auto y = matrix_view<float>(memory.data(), features, tokens, tokens + 2);
            REQUIRE(pare::transpose(x.view(), y.transposed(), two));
            int wrong = 0;
            for (std::size_t t = 0; t < tokens; ++t)
                for (std::size_t c = 0; c < features; ++c) wrong += y(c, t) != x(t, c);
            for (std::size_t c = 0; c < features; ++c)
                for (std::size_t i = tokens; i < tokens + 2; ++i)
                    wrong += memory.data()[c * (tokens + 2) + i] != -7.0f;
            CAPTURE(tokens, features);
            CHECK(wrong == 0);
            CHECK(memory.intact());
        }
}

TEST_CASE("transpose refuses other shapes and orders") {
    matrix x = matrix::uniform(4, 6, 1), y(6, 4);
    CHECK(pare::transpose(x.view(), y.view()).error().code == pare::errc::shape_mismatch);
    matrix same(4, 6);
    CHECK(pare::transpose(x.view(), same.view()).error().code == pare::errc::not_contiguous);
    CHECK(pare::transpose(y.view().transposed(), y.view().transposed()).error().code ==
          pare::errc::not_contiguous);
}
