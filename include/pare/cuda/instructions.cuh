// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_CUDA_INSTRUCTIONS_CUH
#define PARE_CUDA_INSTRUCTIONS_CUH

#include "../core/dtype.hpp"
#include "status.cuh"

#include <cstdint>

#define PARE_UNROLL _Pragma("unroll")

/// The instructions of sm_80 that CUDA C++ has no words for. Addresses of shared memory are counted
/// from its beginning.
namespace pare::cuda::inline PARE_ARCH_NAMESPACE {
namespace detail {

__device__ inline int shared_address(const void* in_shared_memory) {
    return static_cast<int>(__cvta_generic_to_shared(in_shared_memory));
}

// --- Asynchronous copies ---------------------------------------------------------------------

/// 16 bytes to shared memory, zeros unless they exist. Past the first-level cache, which has no use
/// for them.
__device__ inline void copy_piece(int to, const void* from, bool exists) {
    asm volatile(
        "{\n"
        ".reg .pred absent;\n"
        "setp.eq.u32 absent, %2, 0;\n"
        "cp.async.cg.shared.global [%0], [%1], 16, absent;\n"
        "}" ::"r"(to),
        "l"(__cvta_generic_to_global(from)), "r"(static_cast<std::uint32_t>(exists))
        : "memory");
}
/// Ends a group of copies.
__device__ inline void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
/// Until no more than so many of the latest groups are under way.
template <int Groups>
__device__ void wait_for_copies() {
    asm volatile("cp.async.wait_group %0;" ::"n"(Groups) : "memory");
}

// --- Shared memory to registers --------------------------------------------------------------

__device__ inline void load_shared(std::uint32_t (&r)[2], int from) {
    asm volatile("ld.shared.v2.u32 {%0, %1}, [%2];" : "=r"(r[0]), "=r"(r[1]) : "r"(from));
}
__device__ inline void load_shared(std::uint32_t (&r)[4], int from) {
    asm volatile("ld.shared.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(from));
}
/// Four 8 x 8 matrices of 16-bit elements, whose rows the lanes point at, transposed.
__device__ inline void load_transposed(std::uint32_t (&r)[4], int row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(row));
}

// --- Products --------------------------------------------------------------------------------

// Of metadata that ascends, which is what sm_90 takes at full speed.
#define PARE_MMA_SP(type)                                                                          \
    asm volatile("mma.sp::ordered_metadata.sync.aligned.m16n8k32.row.col.f32." type "." type       \
                 ".f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9, %10, %11}, {%0, %1, %2, %3}, " \
                 "%12, %13;"                                                                       \
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])                                  \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]), "r"(b[2]),    \
                   "r"(b[3]), "r"(metadata), "n"(Selector))

template <int Selector>
__device__ void multiply_add(f16, float (&d)[4], const std::uint32_t (&a)[4],
                             const std::uint32_t (&b)[4], std::uint32_t metadata) {
    PARE_MMA_SP("f16");
}
template <int Selector>
__device__ void multiply_add(bf16, float (&d)[4], const std::uint32_t (&a)[4],
                             const std::uint32_t (&b)[4], std::uint32_t metadata) {
    PARE_MMA_SP("bf16");
}
#undef PARE_MMA_SP

// --- Results ---------------------------------------------------------------------------------

__device__ inline std::uint32_t to_pair(f16, float low, float high) {
    std::uint32_t pair;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
    return pair;
}
__device__ inline std::uint32_t to_pair(bf16, float low, float high) {
    std::uint32_t pair;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
    return pair;
}

/// At an even element of aligned memory.
template <class T>
__device__ void store_pair(T* to, float low, float high) {
    *reinterpret_cast<std::uint32_t*>(to) = to_pair(T{}, low, high);
}
__device__ inline void store_pair(float* to, float low, float high) {
    *reinterpret_cast<float2*>(to) = {low, high};
}
template <class T>
__device__ void store_one(T* to, float x) {
    to->bits = static_cast<std::uint16_t>(to_pair(T{}, x, 0.0f));
}
__device__ inline void store_one(float* to, float x) { *to = x; }

}  // namespace detail
}  // namespace pare::cuda::inline PARE_ARCH_NAMESPACE

#endif  // PARE_CUDA_INSTRUCTIONS_CUH
