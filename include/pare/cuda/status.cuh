// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_CUDA_STATUS_CUH
#define PARE_CUDA_STATUS_CUH

#ifndef __CUDACC__
#error "pare: headers named .cuh are compiled by nvcc; the others of cuda/ need no CUDA"
#endif

#include "../core/status.hpp"

#include <cstddef>
#include <type_traits>
// and <cuda_runtime.h>, by nvcc itself

namespace pare::cuda {

/// Of a grid along x, and along y.
inline constexpr std::size_t max_blocks = 0x7fffffff, max_blocks_down = 65535;

inline namespace PARE_ARCH_NAMESPACE {

/// What a call of CUDA returned: out_of_memory, or io_failure with CUDA's own words and, as
/// `where`, its number.
inline status to_status(cudaError_t returned) noexcept {
    if (returned == cudaSuccess) return {};
    return error{returned == cudaErrorMemoryAllocation ? errc::out_of_memory : errc::io_failure,
                 cudaGetErrorString(returned), static_cast<std::size_t>(returned)};
}

namespace detail {

/// Queues a kernel. Not by <<<>>>, which would leave its error among those of others.
template <class... Parameters>
status launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, std::size_t shared_bytes,
              cudaStream_t stream, const std::type_identity_t<Parameters>&... arguments) noexcept {
    cudaLaunchConfig_t config{};
    config.gridDim = grid;
    config.blockDim = block;
    config.dynamicSmemBytes = shared_bytes;
    config.stream = stream;
    return to_status(cudaLaunchKernelEx(&config, kernel, arguments...));
}

}  // namespace detail
}  // namespace PARE_ARCH_NAMESPACE

}  // namespace pare::cuda

#endif  // PARE_CUDA_STATUS_CUH
