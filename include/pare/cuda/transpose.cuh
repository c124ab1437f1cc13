// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_CUDA_TRANSPOSE_CUH
#define PARE_CUDA_TRANSPOSE_CUH

#include "../core/tensor_view.hpp"
#include "status.cuh"

#include <cstddef>
#include <cstdint>

namespace pare::cuda::inline PARE_ARCH_NAMESPACE {

namespace detail {

inline constexpr int transpose_tile = 32;
inline constexpr int transpose_lines = 8;

/// Copies in (rows, cols) to out (cols, rows), rows `in_stride` and `out_stride` apart, a square
/// tile at a time; its padded column keeps reading it crosswise free of bank conflicts.
template <class T>
__global__ void __launch_bounds__(transpose_tile* transpose_lines)
    transpose(const T* in, std::size_t in_stride, std::size_t rows, std::size_t cols, T* out,
              std::size_t out_stride) {
    static __shared__ T tile[transpose_tile][transpose_tile + 1];
    const std::size_t col = std::size_t{blockIdx.x} * transpose_tile;
    for (std::size_t row = std::size_t{blockIdx.y} * transpose_tile; row < rows;
         row += std::size_t{gridDim.y} * transpose_tile) {
        for (unsigned i = threadIdx.y; i < transpose_tile; i += transpose_lines)
            if (row + i < rows && col + threadIdx.x < cols)
                tile[i][threadIdx.x] = in[(row + i) * in_stride + col + threadIdx.x];
        __syncthreads();
        for (unsigned i = threadIdx.y; i < transpose_tile; i += transpose_lines)
            if (col + i < cols && row + threadIdx.x < rows)
                out[(col + i) * out_stride + row + threadIdx.x] = tile[threadIdx.x][i];
        __syncthreads();
    }
}

}  // namespace detail

/// Writes `in`, of consecutive columns, into `out`, of consecutive rows: activations token by token
/// become ones feature by feature, or the other way round with both views transposed. Both on the
/// device; the work is queued on the stream.
/// @return shape_mismatch, not_contiguous, invalid_argument for more than 2^31 tiles, or what CUDA
/// refused
template <class T>
status transpose(matrix_view<const T> in, matrix_view<T> out, cudaStream_t stream) noexcept {
    if (in.rows() != out.rows() || in.cols() != out.cols())
        return error{errc::shape_mismatch, "cuda::transpose: the views differ in shape"};
    if (in.col_stride() != 1 || out.row_stride() != 1)
        return error{errc::not_contiguous,
                     "cuda::transpose: from consecutive columns to consecutive rows"};
    if (in.empty()) return {};
    const auto n_tiles = [](std::size_t n) {
        return (n + detail::transpose_tile - 1) / detail::transpose_tile;
    };
    if (n_tiles(in.cols()) > max_blocks)
        return error{errc::invalid_argument, "cuda::transpose: too many columns"};
    const std::size_t down = n_tiles(in.rows());
    const dim3 grid(static_cast<unsigned>(n_tiles(in.cols())),
                    static_cast<unsigned>(down < max_blocks_down ? down : max_blocks_down));
    return detail::launch(&detail::transpose<T>, grid,
                          dim3(detail::transpose_tile, detail::transpose_lines), 0, stream,
                          in.data_handle(), in.row_stride(), in.rows(), in.cols(),
                          out.data_handle(), out.col_stride());
}

}  // namespace pare::cuda::inline PARE_ARCH_NAMESPACE

#endif  // PARE_CUDA_TRANSPOSE_CUH
