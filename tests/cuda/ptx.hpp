// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_TESTS_CUDA_PTX_HPP
#define PARE_TESTS_CUDA_PTX_HPP

#include <pare/core/dtype.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

/// What the PTX ISA says of two instructions of a warp, written down from its text and figures and
/// from nothing of the library.
namespace pare::testing::ptx {

/// Registers of 32 lanes.
template <class T, std::size_t N>
using registers = std::array<std::array<T, N>, 32>;

inline std::uint16_t half_of(std::uint32_t word, int i) {
    return static_cast<std::uint16_t>(i == 0 ? word & 0xffffu : word >> 16);
}

/// ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16: lanes 8 j to 8 j + 7 give the addresses of the
/// rows of matrix j. Without .trans, lane L receives in register j elements 2 (L % 4) and the next
/// of row L / 4; with it, those of the transposed matrix.
inline registers<std::uint32_t, 4> ldmatrix_x4_trans(std::span<const std::byte> shared,
                                                     const std::array<int, 32>& address) {
    const auto element = [&](std::size_t matrix, std::size_t row, std::size_t col) {
        std::uint16_t bits = 0;
        std::memcpy(&bits, &shared[static_cast<std::size_t>(address[8 * matrix + row]) + 2 * col],
                    2);
        return std::uint32_t{bits};
    };
    registers<std::uint32_t, 4> r;
    for (std::size_t lane = 0; lane < 32; ++lane)
        for (std::size_t j = 0; j < 4; ++j)
            r[lane][j] = element(j, 2 * (lane % 4), lane / 4) |
                         element(j, 2 * (lane % 4) + 1, lane / 4) << 16;
    return r;
}

/// Sparse m16n8k32 with .f16 and .bf16, "Multiplicand A": groupID = lane >> 2, threadID_in_group =
/// lane % 4; the row of a_i is groupID where i < 2 or 4 <= i < 6, else groupID + 8; its column is
/// one of the four from threadID_in_group * 4 on where i < 4, from 16 more on else.
inline int a_row(int lane, int i) {
    return (i < 2 || (4 <= i && i < 6)) ? lane >> 2 : (lane >> 2) + 8;
}
inline int a_first_col(int lane, int i) { return lane % 4 * 4 + (i < 4 ? 0 : 16); }

/// Figures of the metadata of sparse m16n8k32, .f16 and .bf16, for selector F: thread 2 F of a
/// group has columns 0 to 15, thread 2 F + 1 columns 16 to 31; bits 0 to 15 are of row groupID,
/// bits 16 to 31 of row groupID + 8. Of four columns the index of the first kept one comes lowest.
inline int index_of(const registers<std::uint32_t, 1>& metadata, int selector, int row, int col,
                    int which) {
    const int thread = row % 8 * 4 + 2 * selector + col / 16;
    const int bit = (row < 8 ? 0 : 16) + col % 16 / 4 * 4 + which * 2;
    return static_cast<int>(metadata[static_cast<std::size_t>(thread)][0] >> bit & 3u);
}

/// "Multiplicand B" of m16n8k32: the row of b_i is threadID_in_group * 2 + (i & 1), 8 more for each
/// two elements before; its column groupID. "Accumulators": the row of c_i is groupID where i < 2,
/// else groupID + 8; its column threadID_in_group * 2 + (i & 1).
///
/// mma.sp::ordered_metadata.sync.aligned.m16n8k32.row.col.f32.T.T.f32; false where the indices of
/// four columns do not ascend, of which the result is undefined.
template <half_storage T>
bool mma_sp_m16n8k32(registers<float, 4>& d, const registers<std::uint32_t, 4>& a,
                     const registers<std::uint32_t, 4>& b,
                     const registers<std::uint32_t, 1>& metadata, int selector) {
    float full_a[16][32] = {}, full_b[32][8] = {};
    for (int lane = 0; lane < 32; ++lane)
        for (int i = 0; i < 8; ++i) {
            const auto l = static_cast<std::size_t>(lane), r = static_cast<std::size_t>(i / 2);
            const int row = a_row(lane, i), first = a_first_col(lane, i);
            const int index = index_of(metadata, selector, row, first, i % 2);
            if (i % 2 == 1 && index <= index_of(metadata, selector, row, first, 0)) return false;
            full_a[row][first + index] = to_float(T{half_of(a[l][r], i % 2)});
            full_b[lane % 4 * 2 + i % 2 + i / 2 * 8][lane >> 2] =
                to_float(T{half_of(b[l][r], i % 2)});
        }
    for (int lane = 0; lane < 32; ++lane)
        for (int i = 0; i < 4; ++i) {
            const int row = (lane >> 2) + (i < 2 ? 0 : 8), col = lane % 4 * 2 + i % 2;
            float& sum = d[static_cast<std::size_t>(lane)][static_cast<std::size_t>(i)];
            for (int k = 0; k < 32; ++k) sum += full_a[row][k] * full_b[k][col];
        }
    return true;
}

}  // namespace pare::testing::ptx

#endif  // PARE_TESTS_CUDA_PTX_HPP
