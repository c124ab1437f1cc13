// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_CORE_TENSOR_VIEW_HPP
#define PARE_CORE_TENSOR_VIEW_HPP

#include "config.hpp"

#include <array>
#include <concepts>
#include <cstddef>
#include <span>
#include <type_traits>

namespace pare {

/// A strided view of memory that someone else owns: data, extents, strides (in elements, row-major
/// unless given). Never owns, never allocates, trivially copyable; the names are std::mdspan's.
template <class T, std::size_t Rank>
class tensor_view {
    static_assert(Rank >= 1, "a tensor_view has at least one extent");

  public:
    using element_type = T;
    using value_type = std::remove_cv_t<T>;
    using extents_type = std::array<std::size_t, Rank>;

    PARE_ALWAYS_INLINE constexpr tensor_view() noexcept = default;

    constexpr tensor_view(T* data, extents_type extents, extents_type strides) noexcept
        : data_(data), extents_(extents), strides_(strides) {}

    PARE_ALWAYS_INLINE constexpr tensor_view(T* data, extents_type extents) noexcept
        : data_(data), extents_(extents) {
        std::size_t stride = 1;
        for (std::size_t r = Rank; r-- > 0; stride *= extents_[r]) strides_[r] = stride;
    }

    constexpr tensor_view(T* data, std::size_t size, std::size_t stride = 1) noexcept
        requires(Rank == 1)
        : data_(data), extents_{size}, strides_{stride} {}

    constexpr tensor_view(std::span<T> elements) noexcept requires(Rank == 1)
        : tensor_view(elements.data(), elements.size()) {}

    constexpr tensor_view(T* data, std::size_t rows, std::size_t cols) noexcept requires(Rank == 2)
        : tensor_view(data, rows, cols, cols) {}

    /// Rows of `cols` consecutive elements, `row_stride` apart.
    constexpr tensor_view(T* data, std::size_t rows, std::size_t cols,
                          std::size_t row_stride) noexcept requires(Rank == 2)
        : data_(data), extents_{rows, cols}, strides_{row_stride, 1} {}

    /// T -> const T, nothing else.
    template <class U>
        requires(std::same_as<const U, T> && !std::is_const_v<U>)
    PARE_ALWAYS_INLINE constexpr tensor_view(const tensor_view<U, Rank>& other) noexcept
        : data_(other.data_handle()), extents_(other.extents()), strides_(other.strides()) {}

    static constexpr std::size_t rank() noexcept { return Rank; }
    constexpr T* data_handle() const noexcept { return data_; }
    constexpr const extents_type& extents() const noexcept { return extents_; }
    constexpr const extents_type& strides() const noexcept { return strides_; }
    constexpr std::size_t extent(std::size_t r) const noexcept { return extents_[r]; }
    constexpr std::size_t stride(std::size_t r) const noexcept { return strides_[r]; }
    /// Number of elements.
    constexpr std::size_t size() const noexcept {
        std::size_t n = 1;
        for (const std::size_t e : extents_) n *= e;
        return n;
    }
    constexpr bool empty() const noexcept { return size() == 0; }

    template <class... Index>
        requires(sizeof...(Index) == Rank && (std::convertible_to<Index, std::size_t> && ...))
    PARE_ALWAYS_INLINE constexpr T& operator()(Index... index) const noexcept {
        const extents_type at{static_cast<std::size_t>(index)...};
        std::size_t offset = 0;
        for (std::size_t r = 0; r < Rank; ++r) {
            PARE_ASSERT(at[r] < extents_[r], "index out of range");
            offset += at[r] * strides_[r];
        }
        return data_[offset];
    }

    /// Rank 1: the i-th element.
    constexpr T& operator[](std::size_t i) const noexcept requires(Rank == 1) { return (*this)(i); }

    /// The sub-view at index i of the first extent.
    PARE_ALWAYS_INLINE constexpr tensor_view<T, Rank - 1> operator[](std::size_t i) const noexcept
        requires(Rank > 1) {
        PARE_ASSERT(i < extents_[0], "index out of range");
        std::array<std::size_t, Rank - 1> extents{}, strides{};
        for (std::size_t r = 1; r < Rank; ++r) {
            extents[r - 1] = extents_[r];
            strides[r - 1] = strides_[r];
        }
        return {data_ + i * strides_[0], extents, strides};
    }

    constexpr std::size_t rows() const noexcept requires(Rank == 2) { return extents_[0]; }
    constexpr std::size_t cols() const noexcept requires(Rank == 2) { return extents_[1]; }
    constexpr std::size_t row_stride() const noexcept requires(Rank == 2) { return strides_[0]; }
    constexpr std::size_t col_stride() const noexcept requires(Rank == 2) { return strides_[1]; }
    /// The same memory with rows and columns exchanged.
    constexpr tensor_view transposed() const noexcept requires(Rank == 2) {
        return {data_, {extents_[1], extents_[0]}, {strides_[1], strides_[0]}};
    }
    /// Row r as a span. @pre col_stride() == 1
    constexpr std::span<T> row_span(std::size_t r) const noexcept requires(Rank == 2) {
        PARE_ASSERT(r < extents_[0], "row out of range");
        PARE_ASSERT(strides_[1] == 1, "row_span needs consecutive columns");
        return {data_ + r * strides_[0], extents_[1]};
    }
    /// The block of n_rows x n_cols that starts at (row, col).
    constexpr tensor_view block(std::size_t row, std::size_t col, std::size_t n_rows,
                                std::size_t n_cols) const noexcept requires(Rank == 2) {
        PARE_ASSERT(row + n_rows <= extents_[0] && col + n_cols <= extents_[1], "block too large");
        return {data_ + row * strides_[0] + col * strides_[1], {n_rows, n_cols}, strides_};
    }

  private:
    T* data_ = nullptr;
    extents_type extents_{};
    extents_type strides_{};
};

template <class T>
using vector_view = tensor_view<T, 1>;

template <class T>
using matrix_view = tensor_view<T, 2>;

static_assert(std::is_trivially_copyable_v<matrix_view<float>>);
static_assert(std::convertible_to<matrix_view<float>, matrix_view<const float>>);
static_assert(!std::convertible_to<matrix_view<const float>, matrix_view<float>>);

}  // namespace pare

#endif  // PARE_CORE_TENSOR_VIEW_HPP
