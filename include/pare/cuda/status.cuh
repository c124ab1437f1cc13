// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_CUDA_STATUS_CUH
#define PARE_CUDA_STATUS_CUH

#ifndef __CUDACC__
#error "pare: headers named .cuh are compiled by nvcc; the others of cuda/ need no CUDA"
#endif

#include "../core/status.hpp"

#include <cuda_runtime.h>
#include <cstddef>

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

/// What became of the launch just before. Takes the error, so that it is not reported twice.
inline status launched() noexcept { return to_status(cudaGetLastError()); }

}  // namespace detail
}  // namespace PARE_ARCH_NAMESPACE

}  // namespace pare::cuda

#endif  // PARE_CUDA_STATUS_CUH
