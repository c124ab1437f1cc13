// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_TESTS_CUDA_SIMT_HPP
#define PARE_TESTS_CUDA_SIMT_HPP

// Kernels in CUDA C++ on one thread of the CPU: to be included before any .cuh. The threads of a
// block take turns; what a warp or a block does together, they meet for; the instructions are those
// of ptx.hpp. Asynchronous copies arrive as early or as late as they may.

#include <pare/core/dtype.hpp>
#include <pare/core/status.hpp>
#include <pare/core/tensor_view.hpp>
#include <pare/kernel/epilogue.hpp>

#include "ptx.hpp"

#include <ucontext.h>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <vector>

// --- The language, and those calls of the runtime that the library makes
// ---------------------------
#define __CUDACC__
#define __global__
#define __device__
#define __host__
#define __shared__
#define __align__(n) __attribute__((aligned(n)))
#define __launch_bounds__(...)

// Kernels on the CPU and on a GPU may be linked into one program.
#undef PARE_ARCH_NAMESPACE
#define PARE_ARCH_NAMESPACE emulated

struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned of_x = 1, unsigned of_y = 1, unsigned of_z = 1)
        : x(of_x), y(of_y), z(of_z) {}
};

namespace pare::testing::simt {

enum class error { success, out_of_memory = 2, invalid_value = 1, launch_failure = 719 };
enum class attribute { multiprocessors, shared_bytes, dynamic_shared_bytes };
struct launch_config {
    dim3 gridDim, blockDim;
    std::size_t dynamicSmemBytes;
    struct stream* stream;
};
enum class arrival { at_once, when_waited_for };

/// The device that there is.
struct device {
    int multiprocessors = 1;
    int shared_bytes = 227 * 1024;
    arrival copies = arrival::when_waited_for;
    error failure = error::success;  ///< what launches return
    int n_launches = 0;
    int n_faults = 0;  ///< accesses outside a block's shared memory, metadata out of order
};
inline device gpu;

}  // namespace pare::testing::simt

using cudaError_t = pare::testing::simt::error;
using cudaStream_t = pare::testing::simt::stream*;
using cudaLaunchConfig_t = pare::testing::simt::launch_config;
inline constexpr auto cudaSuccess = cudaError_t::success;
inline constexpr auto cudaErrorMemoryAllocation = cudaError_t::out_of_memory;
inline constexpr auto cudaDevAttrMultiProcessorCount =
    pare::testing::simt::attribute::multiprocessors;
inline constexpr auto cudaDevAttrMaxSharedMemoryPerBlockOptin =
    pare::testing::simt::attribute::shared_bytes;
inline constexpr auto cudaFuncAttributeMaxDynamicSharedMemorySize =
    pare::testing::simt::attribute::dynamic_shared_bytes;

inline const char* cudaGetErrorString(cudaError_t e) {
    return e == cudaSuccess ? "no error" : "an error of CUDA";
}
inline cudaError_t cudaGetDevice(int* device) {
    *device = 0;
    return cudaSuccess;
}
inline cudaError_t cudaDeviceGetAttribute(int* value, pare::testing::simt::attribute which, int) {
    const auto& gpu = pare::testing::simt::gpu;
    *value = which == cudaDevAttrMultiProcessorCount ? gpu.multiprocessors : gpu.shared_bytes;
    return cudaSuccess;
}
template <class Kernel>
cudaError_t cudaFuncSetAttribute(Kernel*, pare::testing::simt::attribute, int bytes) {
    return bytes <= pare::testing::simt::gpu.shared_bytes ? cudaSuccess
                                                          : cudaError_t::invalid_value;
}

inline dim3 threadIdx, blockIdx, gridDim;

namespace pare::cuda::inline emulated::detail {

alignas(128) inline unsigned char shared[227 * 1024];

}  // namespace pare::cuda::inline emulated::detail

// --- Threads
// ----------------------------------------------------------------------------------------
namespace pare::testing::simt {

struct copy {
    std::size_t to;
    const void* from;  ///< null: zeros
};
struct thread {
    ucontext_t context;
    std::vector<char> stack;
    bool done;
    dim3 index;
    std::vector<std::vector<copy>> groups;  ///< of copies under way, the last one open
};
/// Where so many threads wait for one another.
struct meeting {
    int arrived = 0;
    unsigned round = 0;
};
/// What the lanes of a warp bring to an instruction, and take away.
struct warp {
    meeting at;
    std::array<std::uint32_t, 32> word;
    std::array<int, 32> from;
    ptx::registers<std::uint32_t, 4> a, b;
    ptx::registers<std::uint32_t, 1> metadata;
    ptx::registers<float, 4> d;
};
struct block {
    ucontext_t scheduler;
    std::vector<thread> threads;
    std::vector<warp> warps;
    meeting at;
    std::size_t current, shared_bytes;
    std::function<void()> kernel;
};
inline block running;

inline thread& self() { return running.threads[running.current]; }
inline warp& own_warp() { return running.warps[running.current / 32]; }
inline std::size_t lane() { return running.current % 32; }

inline void yield() { swapcontext(&self().context, &running.scheduler); }

/// Returns once so many threads are here; the last one to come acts for all before.
inline void meet(meeting& m, std::size_t size, auto&& act) {
    const unsigned round = m.round;
    if (++m.arrived == static_cast<int>(size)) {
        act();
        m.arrived = 0;
        ++m.round;
    }
    while (m.round == round) yield();
}

inline std::span<std::byte> shared_memory() {
    return std::as_writable_bytes(std::span(cuda::detail::shared));
}
/// The offset of n bytes of shared memory, aligned to as many.
inline std::size_t checked(int offset, std::size_t n) {
    const auto first = static_cast<std::size_t>(offset);
    if (first % n == 0 && first + n <= running.shared_bytes) return first;
    ++gpu.n_faults;
    return 0;
}
inline void arrive(const copy& c) {
    if (c.from == nullptr) std::memset(&shared_memory()[c.to], 0, 16);
    else std::memcpy(&shared_memory()[c.to], c.from, 16);
}

/// One block after the other. Shared memory begins as NaNs.
inline void run(const launch_config& config) {
    const std::size_t n_threads = config.blockDim.x * config.blockDim.y;
    running.shared_bytes = config.dynamicSmemBytes;
    running.threads.resize(n_threads);
    running.warps.assign((n_threads + 31) / 32, {});
    gridDim = config.gridDim;
    for (unsigned y = 0; y < gridDim.y; ++y)
        for (unsigned x = 0; x < gridDim.x; ++x) {
            blockIdx = {x, y};
            std::memset(cuda::detail::shared, 0xff, running.shared_bytes);
            for (std::size_t i = 0; i < n_threads; ++i) {
                thread& t = running.threads[i];
                t.stack.resize(1 << 16);
                t.done = false;
                t.groups.assign(1, {});
                t.index = {static_cast<unsigned>(i) % config.blockDim.x,
                           static_cast<unsigned>(i) / config.blockDim.x};
                getcontext(&t.context);
                t.context.uc_stack.ss_sp = t.stack.data();
                t.context.uc_stack.ss_size = t.stack.size();
                t.context.uc_link = &running.scheduler;
                makecontext(
                    &t.context,
                    +[] {
                        running.kernel();
                        self().done = true;
                    },
                    0);
            }
            for (bool all_done = false; !all_done;) {
                all_done = true;
                for (running.current = 0; running.current < n_threads; ++running.current) {
                    if (self().done) continue;
                    all_done = false;
                    threadIdx = self().index;
                    swapcontext(&running.scheduler, &self().context);
                }
            }
        }
}

}  // namespace pare::testing::simt

template <class... Parameters, class... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               const Arguments&... arguments) {
    namespace simt = pare::testing::simt;
    if (simt::gpu.failure != cudaSuccess) return simt::gpu.failure;
    ++simt::gpu.n_launches;
    simt::running.kernel = [=] { kernel(arguments...); };
    simt::run(*config);
    return cudaSuccess;
}

inline void __syncthreads() {
    auto& block = pare::testing::simt::running;
    pare::testing::simt::meet(block.at, block.threads.size(), [] {});
}
inline std::uint32_t __shfl_sync(unsigned, std::uint32_t value, int from) {
    namespace simt = pare::testing::simt;
    simt::warp& w = simt::own_warp();
    const std::size_t lane = simt::lane();
    w.word[lane] = value;
    w.from[lane] = from;
    simt::meet(w.at, 32, [&] {
        const auto words = w.word;
        for (std::size_t l = 0; l < 32; ++l) w.word[l] = words[static_cast<std::size_t>(w.from[l])];
    });
    return w.word[lane];
}

// --- In place of instructions.cuh
// -------------------------------------------------------------------
#define PARE_CUDA_INSTRUCTIONS_CUH
#define PARE_UNROLL

namespace pare::cuda::inline emulated::detail {

namespace simt = testing::simt;
namespace ptx = testing::ptx;

inline int shared_address(const void*) { return 0; }

inline void copy_piece(int to, const void* from, bool exists) {
    const simt::copy c{simt::checked(to, 16), exists ? from : nullptr};
    if (simt::gpu.copies == simt::arrival::at_once) simt::arrive(c);
    else simt::self().groups.back().push_back(c);
}
inline void commit_copies() { simt::self().groups.emplace_back(); }
template <int Groups>
void wait_for_copies() {
    auto& groups = simt::self().groups;
    while (groups.size() > Groups + 1) {
        for (const simt::copy& c : groups.front()) simt::arrive(c);
        groups.erase(groups.begin());
    }
}

template <std::size_t N>
void load_shared(std::uint32_t (&r)[N], int from) {
    std::memcpy(r, &simt::shared_memory()[simt::checked(from, 4 * N)], 4 * N);
}
inline void load_transposed(std::uint32_t (&r)[4], int row) {
    simt::warp& w = simt::own_warp();
    const std::size_t lane = simt::lane();
    w.from[lane] = static_cast<int>(simt::checked(row, 16));
    simt::meet(w.at, 32, [&] { w.b = ptx::ldmatrix_x4_trans(simt::shared_memory(), w.from); });
    for (std::size_t i = 0; i < 4; ++i) r[i] = w.b[lane][i];
}
template <int Selector, half_storage T>
void multiply_add(T, float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[4],
                  std::uint32_t metadata) {
    simt::warp& w = simt::own_warp();
    const std::size_t lane = simt::lane();
    for (std::size_t i = 0; i < 4; ++i) {
        w.a[lane][i] = a[i];
        w.b[lane][i] = b[i];
        w.d[lane][i] = d[i];
    }
    w.metadata[lane][0] = metadata;
    simt::meet(w.at, 32, [&] {
        simt::gpu.n_faults += !ptx::mma_sp_m16n8k32<T>(w.d, w.a, w.b, w.metadata, Selector);
    });
    for (std::size_t i = 0; i < 4; ++i) d[i] = w.d[lane][i];
}

template <class T>
void store_one(T* to, float x) {
    *to = from_float<T>(x);
}
template <class T>
void store_pair(T* to, float low, float high) {
    simt::gpu.n_faults += std::bit_cast<std::uintptr_t>(to) % (2 * sizeof(T)) != 0;
    store_one(to, low);
    store_one(to + 1, high);
}

}  // namespace pare::cuda::inline emulated::detail

#endif  // PARE_TESTS_CUDA_SIMT_HPP
