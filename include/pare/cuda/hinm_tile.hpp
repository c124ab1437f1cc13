// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_CUDA_HINM_TILE_HPP
#define PARE_CUDA_HINM_TILE_HPP

#include "hinm.hpp"

#include <cstddef>
#include <cstdint>

namespace pare::cuda::inline PARE_ARCH_NAMESPACE {

/// Elements of a piece, what one asynchronous copy moves: 16 bytes.
inline constexpr int piece = 8;

/// What a block of hinm_gemm computes and where everything lies meanwhile: the V rows of a tile of
/// weights for some tokens, slab after slab. A stage of shared memory holds, of a slab, the
/// activations (64 compact columns of Tokens), the values and the metadata. All offsets are bytes.
template <int V, int Tokens>
struct hinm_tile {
    static_assert(V == 32 || V == 64 || V == 128);
    static_assert(Tokens == 64 || Tokens == 128 || Tokens == 256);

    static constexpr int depth = static_cast<int>(slab_depth);
    static constexpr int threads = 128;
    static constexpr int warps = threads / mma_sp::lanes;
    /// A warp's share is as near to 64 x 64 as there is: it reads (rows + tokens) / (rows * tokens)
    /// of what it multiplies from shared memory.
    static constexpr int warps_down = V == 128 || (V == 64 && Tokens == 64) ? 2 : 1;
    static constexpr int warp_rows = V / warps_down;
    static constexpr int warp_tokens = Tokens * warps_down / warps;
    static constexpr int row_fragments = warp_rows / mma_sp::rows;
    static constexpr int token_fragments = warp_tokens / mma_sp::tokens;

    static constexpr int row_bytes = 2 * Tokens;  ///< of a compact column's activations
    static constexpr int values_offset = depth * row_bytes;
    static constexpr int values_bytes = V * depth / 2 * 2;
    static constexpr int metadata_offset = values_offset + values_bytes;
    static constexpr int metadata_bytes = V * depth / 2 / 4;
    static constexpr int stage_bytes = metadata_offset + metadata_bytes;
    static constexpr int stages = Tokens == 256 ? 3 : 4;
    static constexpr int shared_bytes = stages * stage_bytes;

    // --- Gathering: piece i of a thread ------------------------------------------------------
    static constexpr int row_pieces = Tokens / piece;
    static constexpr int gathered_pieces = depth * row_pieces / threads;
    PARE_HOST_DEVICE static constexpr int gathered_column(int thread, int i) noexcept {
        return i * (threads / row_pieces) + thread / row_pieces;
    }
    PARE_HOST_DEVICE static constexpr int gathered_token(int thread) noexcept {
        return thread % row_pieces * piece;
    }
    /// Each lane holds the input features of two compact columns, its own number and 32 on: where
    /// gathered_column(thread, i) is.
    PARE_HOST_DEVICE static constexpr int gathered_half(int i) noexcept {
        return i / (gathered_pieces / 2);
    }

    /// Where eight tokens of a compact column lie. Pieces of a row change places with the row
    /// (exclusive or of the lowest three bits): eight rows of one piece, which ldmatrix reads at
    /// once, then lie in different banks, as do the pieces of one row, which a warp writes at once.
    PARE_HOST_DEVICE static constexpr int x_offset(int column, int token) noexcept {
        return column * row_bytes + ((token / piece) ^ (column % 8)) * 16;
    }

    // --- Weights: copied as they lie; a lane's operand is 16 or 8 consecutive bytes ----------
    PARE_HOST_DEVICE static constexpr int a_offset(int warp, int step, int fragment,
                                                   int lane) noexcept {
        const int row_fragment = warp % warps_down * row_fragments + fragment;
        return values_offset +
               ((step * (V / mma_sp::rows) + row_fragment) * mma_sp::lanes + lane) * 16;
    }
    /// The words of both steps, for two fragments of 16 rows.
    PARE_HOST_DEVICE static constexpr int words_offset(int warp, int pair, int lane) noexcept {
        return metadata_offset +
               ((warp % warps_down * (row_fragments / 2) + pair) * mma_sp::lanes + lane) * 8;
    }
    /// Where a lane points ldmatrix for the operand B.
    PARE_HOST_DEVICE static constexpr int b_offset(int warp, int step, int fragment,
                                                   int lane) noexcept {
        return x_offset(step * mma_sp::depth + mma_sp::b_row(lane), first_token(warp, fragment));
    }

    // --- Results -----------------------------------------------------------------------------
    PARE_HOST_DEVICE static constexpr int first_row(int warp, int fragment) noexcept {
        return warp % warps_down * warp_rows + fragment * mma_sp::rows;
    }
    PARE_HOST_DEVICE static constexpr int first_token(int warp, int fragment) noexcept {
        return warp / warps_down * warp_tokens + fragment * mma_sp::tokens;
    }

    static_assert(row_fragments % 2 == 0 && gathered_pieces % 2 == 0);
    static_assert(values_bytes % 16 == 0 && metadata_bytes % 16 == 0 && stage_bytes % 16 == 0);
};

/// Tokens of a block of the two sizes that hinm_gemm chooses from.
inline constexpr int narrow_tokens = 64;
template <int V>
inline constexpr int wide_tokens = V == 128 ? 128 : 256;

/// Whether the wide block is to run: it reads weights less often, where there are enough blocks for
/// all multiprocessors and, of a block, enough shared memory.
template <int V>
constexpr bool is_wide(std::size_t n_tiles, std::size_t tokens, int multiprocessors,
                       int shared_bytes) noexcept {
    const std::size_t n_blocks = n_tiles * ((tokens + wide_tokens<V> - 1) / wide_tokens<V>);
    return hinm_tile<V, wide_tokens<V>>::shared_bytes <= shared_bytes &&
           n_blocks >= static_cast<std::size_t>(multiprocessors);
}

}  // namespace pare::cuda::inline PARE_ARCH_NAMESPACE

#endif  // PARE_CUDA_HINM_TILE_HPP
