// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "device.hpp"

// By itself: it brings a global `half`.
#include <cublas_v2.h>

#include <concepts>

namespace gpu {

namespace {

void check_cublas(cublasStatus_t returned) {
    if (returned == CUBLAS_STATUS_SUCCESS) return;
    std::fprintf(stderr, "cuBLAS: %s\n", cublasGetStatusString(returned));
    std::exit(1);
}

}  // namespace

cublas::cublas(cudaStream_t stream) {
    cublasHandle_t handle = nullptr;
    check_cublas(cublasCreate(&handle));
    handle_ = handle;
    check_cublas(cublasSetStream(handle, stream));
}
cublas::~cublas() { cublasDestroy(static_cast<cublasHandle_t>(handle_)); }

template <class T>
void cublas::gemm(const T* w, std::size_t rows, std::size_t cols, const T* x, T* y,
                  std::size_t tokens, bool feature_major) const {
    const auto type = std::same_as<T, pare::f16> ? CUDA_R_16F : CUDA_R_16BF;
    const auto handle = static_cast<cublasHandle_t>(handle_);
    const float one = 1.0f, zero = 0.0f;
    const auto m = static_cast<int>(rows), k = static_cast<int>(cols), n = static_cast<int>(tokens);
    // Its matrices are column-major: a row-major one is its transpose.
    check_cublas(
        feature_major
            ? cublasGemmEx(handle, CUBLAS_OP_N, CUBLAS_OP_N, n, m, k, &one, x, type, n, w, type, k,
                           &zero, y, type, n, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT)
            : cublasGemmEx(handle, CUBLAS_OP_T, CUBLAS_OP_N, m, n, k, &one, w, type, k, x, type, k,
                           &zero, y, type, m, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT));
}

template void cublas::gemm(const pare::f16*, std::size_t, std::size_t, const pare::f16*, pare::f16*,
                           std::size_t, bool) const;
template void cublas::gemm(const pare::bf16*, std::size_t, std::size_t, const pare::bf16*,
                           pare::bf16*, std::size_t, bool) const;

}  // namespace gpu
