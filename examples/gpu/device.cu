// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/cuda/hinm_gemm.cuh>

// Declared again as in device.hpp, whose packing nvcc does not need to see.
namespace gpu {

template <class T, class Y>
pare::status hinm_gemm(const pare::cuda::hinm<T>& weights, pare::matrix_view<const T> x,
                       pare::matrix_view<Y> y, cudaStream_t stream, const pare::epilogue& after,
                       std::span<std::byte> workspace) {
    return pare::cuda::hinm_gemm(weights, x, y, stream, after, workspace);
}
template <class T, class Y>
std::size_t workspace_bytes(pare::matrix_view<const T> x, pare::matrix_view<Y> y) {
    return pare::cuda::hinm_workspace_bytes(x, y);
}

#define INSTANTIATE(T, Y)                                                                      \
    template pare::status hinm_gemm(const pare::cuda::hinm<T>&, pare::matrix_view<const T>,    \
                                    pare::matrix_view<Y>, cudaStream_t, const pare::epilogue&, \
                                    std::span<std::byte>);                                     \
    template std::size_t workspace_bytes(pare::matrix_view<const T>, pare::matrix_view<Y>)
INSTANTIATE(pare::f16, pare::f16);
INSTANTIATE(pare::f16, float);
INSTANTIATE(pare::bf16, pare::bf16);
INSTANTIATE(pare::bf16, float);

}  // namespace gpu
