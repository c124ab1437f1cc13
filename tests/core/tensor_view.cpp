// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/core/tensor_view.hpp>

#include "support/catch.hpp"

#include <array>
#include <numeric>
#include <span>

using pare::matrix_view, pare::tensor_view, pare::vector_view;

namespace {

struct numbers {
    std::array<int, 60> data{};
    numbers() { std::iota(data.begin(), data.end(), 0); }
};

}  // namespace

TEST_CASE_METHOD(numbers, "a matrix is row-major unless told otherwise") {
    const matrix_view<int> m(data.data(), 4, 5);
    CHECK(m.rows() == 4);
    CHECK(m.cols() == 5);
    CHECK(m.size() == 20);
    CHECK(m.row_stride() == 5);
    CHECK(m.col_stride() == 1);
    CHECK(m(0, 0) == 0);
    CHECK(m(2, 3) == 13);
    CHECK(&m(0, 0) == m.data_handle());
}

TEST_CASE_METHOD(numbers, "rows may lie further apart than they are long") {
    const matrix_view<int> m(data.data(), 3, 4, 7);
    CHECK(m(0, 3) == 3);
    CHECK(m(1, 0) == 7);
    CHECK(m(2, 3) == 17);
    CHECK(m.size() == 12);
}

TEST_CASE_METHOD(numbers, "transposing exchanges the indices and moves nothing") {
    const matrix_view<int> m(data.data(), 3, 4, 7);
    const auto t = m.transposed();
    CHECK(t.rows() == 4);
    CHECK(t.cols() == 3);
    CHECK(t.row_stride() == 1);
    CHECK(t.col_stride() == 7);
    for (std::size_t r = 0; r < 3; ++r)
        for (std::size_t c = 0; c < 4; ++c) CHECK(&t(c, r) == &m(r, c));
    CHECK(t.transposed().strides() == m.strides());
}

TEST_CASE_METHOD(numbers, "a block is a window onto the same strides") {
    const matrix_view<int> m(data.data(), 5, 6, 10);
    const auto b = m.block(1, 2, 3, 4);
    CHECK(b.rows() == 3);
    CHECK(b.cols() == 4);
    CHECK(&b(0, 0) == &m(1, 2));
    CHECK(&b(2, 3) == &m(3, 5));
    CHECK(m.transposed().block(2, 1, 4, 3)(3, 2) == b(2, 3));
}

TEST_CASE_METHOD(numbers, "a row of a matrix is a span or a vector") {
    const matrix_view<int> m(data.data(), 4, 5, 8);
    CHECK(m.row_span(2).size() == 5);
    CHECK(m.row_span(2)[4] == 20);
    const vector_view<int> row = m[2];
    CHECK(row.size() == 5);
    CHECK(row[4] == 20);
    const vector_view<int> column = m.transposed()[3];
    CHECK(column.extent(0) == 4);
    CHECK(column.stride(0) == 8);
    CHECK(column[2] == 19);
}

TEST_CASE_METHOD(numbers, "a tensor of three extents gives matrices") {
    const tensor_view<int, 3> t(data.data(), {3, 4, 5});
    CHECK(t.rank() == 3);
    CHECK(t.size() == 60);
    CHECK(t.strides() == std::array<std::size_t, 3>{20, 5, 1});
    CHECK(t(2, 3, 4) == 59);
    CHECK(t[1](2, 3) == t(1, 2, 3));
    CHECK(t[1][2][3] == t(1, 2, 3));
}

TEST_CASE_METHOD(numbers, "a vector comes from a span or a stride") {
    const vector_view<int> all(std::span<int>{data});
    CHECK(all.size() == 60);
    CHECK(all[7] == 7);
    const vector_view<int> thirds(data.data(), 20, 3);
    CHECK(thirds[19] == 57);
}

TEST_CASE_METHOD(numbers, "writing through a view writes the memory") {
    const matrix_view<int> m(data.data(), 2, 3);
    m(1, 1) = -1;
    CHECK(data[4] == -1);
    const matrix_view<const int> readable = m;
    CHECK(readable(1, 1) == -1);
}

TEST_CASE("a view without elements is empty") {
    CHECK(matrix_view<int>{}.empty());
    int one = 0;
    CHECK(matrix_view<int>(&one, 0, 5).empty());
    CHECK(matrix_view<int>(&one, 5, 0).empty());
    CHECK_FALSE(matrix_view<int>(&one, 1, 1).empty());
}

TEST_CASE("views work at compile time") {
    static constexpr std::array<int, 6> data{1, 2, 3, 4, 5, 6};
    constexpr matrix_view<const int> m(data.data(), 2, 3);
    STATIC_REQUIRE(m(1, 2) == 6);
    STATIC_REQUIRE(m.transposed()(2, 1) == 6);
    STATIC_REQUIRE(m.block(0, 1, 2, 2)(1, 0) == 5);
    STATIC_REQUIRE(m[1][0] == 4);
}
