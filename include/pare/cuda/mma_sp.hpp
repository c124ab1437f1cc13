// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_CUDA_MMA_SP_HPP
#define PARE_CUDA_MMA_SP_HPP

#include "../core/config.hpp"

// For what kernels and their emulation on the CPU compute alike.
#ifdef __CUDACC__
#define PARE_HOST_DEVICE __host__ __device__
#else
#define PARE_HOST_DEVICE
#endif

/// Who holds what of mma.sp.m16n8k32 with f16 or bf16 operands (PTX ISA, "Matrix fragments for
/// sparse mma.m16n8k32"): D (16, 8) += A (16, 32) B (32, 8) by a warp of 32 lanes, where every row
/// of A has two of each four columns, in 16 slots of ascending columns. Lane 4 g + t is thread t of
/// group g.
namespace pare::cuda::mma_sp {

inline constexpr int rows = 16;   ///< of A and D: output channels
inline constexpr int tokens = 8;  ///< columns of B and D
inline constexpr int depth = 32;  ///< columns of A, rows of B
inline constexpr int slots = 16;  ///< stored weights of a row of A
inline constexpr int lanes = 32;
inline constexpr int a_elements = 8;  ///< of A that a lane holds, two a register

/// An element of a lane's registers.
struct lane_element {
    int lane, element;
};
/// Bits of a lane's metadata register.
struct lane_bits {
    int lane, shift;
};
/// An element of D.
struct position {
    int row, token;
};

inline namespace PARE_ARCH_NAMESPACE {

/// Who holds a slot of a row of A. Registers 0 and 2 are of row g, 1 and 3 of row g + 8; 0 and 1
/// hold slots 2 t and 2 t + 1, the others those eight further.
PARE_HOST_DEVICE constexpr lane_element a(int row, int slot) noexcept {
    return {row % 8 * 4 + slot % 8 / 2, slot / 8 * 4 + row / 8 * 2 + slot % 2};
}

/// Who says, in 2 bits, which of its four columns a slot is. A register speaks for 8 slots of row g
/// in its lower half and of row g + 8 in its upper one. The sparsity selector names the threads
/// that are asked: 0 the first pair of each group, 1 the second, so that one register serves two
/// tiles of 16 rows. `row` counts through both.
PARE_HOST_DEVICE constexpr lane_bits metadata(int row, int slot) noexcept {
    return {row % 8 * 4 + row / 16 * 2 + slot / 8, row / 8 % 2 * 16 + slot % 8 * 2};
}

/// What a lane holds of D, elements 0 to 3.
PARE_HOST_DEVICE constexpr position d(int lane, int element) noexcept {
    return {lane / 4 + element / 2 * 8, lane % 4 * 2 + element % 2};
}

/// The row of B at which a lane points ldmatrix.x4.trans, which then hands out eight tokens of 32
/// rows as the operand B wants them: register j has rows 8 j + 2 t and + 1 of token g.
PARE_HOST_DEVICE constexpr int b_row(int lane) noexcept { return lane; }

}  // namespace PARE_ARCH_NAMESPACE

}  // namespace pare::cuda::mma_sp

#endif  // PARE_CUDA_MMA_SP_HPP
