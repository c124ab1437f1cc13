// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/eigen/map.hpp>

#include "support/catch.hpp"
#include "support/matrix.hpp"

#include <type_traits>
#include <vector>

using pare::matrix_view, pare::eigen::as_eigen, pare::eigen::as_view;
using pare::testing::matrix;

namespace {

// The same elements at the same addresses.
template <class View, class Matrix>
void check_same(const View& view, const Matrix& m) {
    REQUIRE(static_cast<Eigen::Index>(view.rows()) == m.rows());
    REQUIRE(static_cast<Eigen::Index>(view.cols()) == m.cols());
    for (Eigen::Index r = 0; r < m.rows(); ++r)
        for (Eigen::Index c = 0; c < m.cols(); ++c)
            CHECK(&view(static_cast<std::size_t>(r), static_cast<std::size_t>(c)) ==
                  &m.coeffRef(r, c));
}

using row_major = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

}  // namespace

TEST_CASE("as_eigen maps a view of any strides") {
    matrix memory = matrix::uniform(8, 9, 1);
    const auto whole = memory.view();
    check_same(whole, as_eigen(whole));
    check_same(whole.transposed(), as_eigen(whole.transposed()));
    check_same(whole.block(1, 2, 5, 4), as_eigen(whole.block(1, 2, 5, 4)));
    const matrix_view<float> scattered(memory.data().data(), {3, 4}, {18, 2});
    check_same(scattered, as_eigen(scattered));
}

TEST_CASE("as_eigen of a view of const maps const scalars") {
    const matrix memory = matrix::uniform(2, 3, 1);
    const auto map = as_eigen(memory.view());
    STATIC_REQUIRE(std::is_same_v<decltype(map.data()), const float*>);
    CHECK(map(1, 2) == memory(1, 2));
}

TEST_CASE("Eigen computes on the library's memory") {
    matrix a(2, 2, {1, 2, 3, 4}), product(2, 2);
    as_eigen(product.view()).noalias() = as_eigen(a.view()) * as_eigen(a.view().transposed());
    CHECK(product.data() == std::vector<float>{5, 11, 11, 25});
}

TEST_CASE("as_view sees a matrix of either storage order") {
    Eigen::MatrixXf column_major = Eigen::MatrixXf::Random(4, 5);
    row_major rows = row_major::Random(4, 5);
    check_same(as_view(column_major), column_major);
    check_same(as_view(rows), rows);
    CHECK(as_view(column_major).row_stride() == 1);
    CHECK(as_view(rows).col_stride() == 1);
}

TEST_CASE("as_view sees maps, blocks, transposes, vectors and fixed sizes") {
    Eigen::MatrixXf m = Eigen::MatrixXf::Random(6, 7);
    auto block = m.block(1, 2, 3, 4);
    check_same(as_view(block), block);
    check_same(as_view(m.block(1, 2, 3, 4)), block);
    Eigen::Map<row_major, 0, Eigen::OuterStride<>> map(m.data(), 4, 5, Eigen::OuterStride<>(8));
    check_same(as_view(map), map);
    auto transposed = m.transpose();
    CHECK(&as_view(transposed)(6, 5) == &m(5, 6));
    Eigen::VectorXf column = Eigen::VectorXf::Random(3);
    Eigen::RowVectorXf row = Eigen::RowVectorXf::Random(3);
    check_same(as_view(column), column);
    check_same(as_view(row), row);
    Eigen::Matrix2d fixed = Eigen::Matrix2d::Random();
    check_same(as_view(fixed), fixed);
}

TEST_CASE("as_view of a const matrix is a view of const") {
    const Eigen::MatrixXf m = Eigen::MatrixXf::Random(2, 3);
    STATIC_REQUIRE(std::is_same_v<decltype(as_view(m)), matrix_view<const float>>);
    CHECK(&as_view(m)(1, 2) == m.data() + 5);
}

TEST_CASE("there and back is the same view") {
    matrix memory(5, 6);
    const auto view = memory.view().block(1, 1, 3, 4).transposed();
    const auto back = as_view(as_eigen(view));
    CHECK(back.data_handle() == view.data_handle());
    CHECK(back.extents() == view.extents());
    CHECK(back.strides() == view.strides());
}
