// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EIGEN_MAP_HPP
#define PARE_EIGEN_MAP_HPP

#include "../core/tensor_view.hpp"

#include <Eigen/Core>

#include <cstddef>
#include <type_traits>

namespace pare::eigen::inline PARE_ARCH_NAMESPACE {

namespace detail {

template <class T>
using dynamic_matrix =
    Eigen::Matrix<std::remove_const_t<T>, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using dynamic_stride = Eigen::Stride<Eigen::Dynamic, Eigen::Dynamic>;

}  // namespace detail

/// An unaligned Eigen::Map over the memory of a view; of const scalars where T is const.
template <class T>
using matrix_map =
    Eigen::Map<std::conditional_t<std::is_const_v<T>, const detail::dynamic_matrix<T>,
                                  detail::dynamic_matrix<T>>,
               Eigen::Unaligned, detail::dynamic_stride>;

/// The same memory seen by Eigen, any strides: element (r, c) is view(r, c).
template <class T>
matrix_map<T> as_eigen(matrix_view<T> view) noexcept {
    return {view.data_handle(),
            static_cast<Eigen::Index>(view.rows()),
            static_cast<Eigen::Index>(view.cols()),
            {static_cast<Eigen::Index>(view.row_stride()),
             static_cast<Eigen::Index>(view.col_stride())}};
}

/// The memory of an Eigen matrix, map, block or vector seen by the library, row-major or
/// column-major: element (r, c) is matrix(r, c). @pre the memory outlives the view; no negative
/// stride
template <class Matrix>
auto as_view(Matrix&& matrix) noexcept {
    static_assert(
        requires { matrix.data(); },
        "as_view needs a matrix that lies in memory: evaluate the expression first");
    static_assert(std::is_lvalue_reference_v<Matrix> ||
                      !std::is_base_of_v<Eigen::PlainObjectBase<Matrix>, Matrix>,
                  "as_view of a temporary matrix would dangle: give the matrix a name");
    using scalar = std::remove_pointer_t<decltype(matrix.data())>;
    return matrix_view<scalar>(
        matrix.data(),
        {static_cast<std::size_t>(matrix.rows()), static_cast<std::size_t>(matrix.cols())},
        {static_cast<std::size_t>(matrix.rowStride()),
         static_cast<std::size_t>(matrix.colStride())});
}

}  // namespace pare::eigen::inline PARE_ARCH_NAMESPACE

#endif  // PARE_EIGEN_MAP_HPP
