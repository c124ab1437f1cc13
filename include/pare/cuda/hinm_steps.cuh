// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_CUDA_HINM_STEPS_CUH
#define PARE_CUDA_HINM_STEPS_CUH

#include "../kernel/epilogue.hpp"
#include "hinm_tile.hpp"
#include "instructions.cuh"

#include <cstddef>
#include <cstdint>

namespace pare::cuda::inline PARE_ARCH_NAMESPACE {
namespace detail {

/// What hinm_gemm is launched with. x (features, tokens), rows so many bytes apart, and y (outputs,
/// tokens), rows so many elements apart; bias and scale null or one per output.
template <class T, class Y>
struct hinm_product {
    hinm<T> weights;
    const T* x;
    std::uint32_t x_stride_bytes;
    Y* y;
    std::size_t y_stride;
    std::size_t tokens;
    const float* bias;
    const float* scale;
    kernel::activation then;
};

/// The input features of the slab to be gathered next, loaded a slab ahead: compact column c is
/// with lane c % 32 of every warp.
class tile_columns {
  public:
    template <class T>
    __device__ tile_columns(const hinm<T>& weights, int lane)
        : next_(weights.columns + blockIdx.x * weights.n_slabs * slab_depth + lane),
          n_slabs_(static_cast<int>(weights.n_slabs)) {
        load(0);
    }
    __device__ void load(int slab) {
        if (slab >= n_slabs_) return;
        mine_[0] = next_[0];
        mine_[1] = next_[mma_sp::lanes];
        next_ += slab_depth;
    }
    /// Of a compact column in that half of the slab; called by whole warps.
    __device__ std::uint32_t of(int half, int column) const {
        return __shfl_sync(0xffffffff, mine_[half], column % mma_sp::lanes);
    }

  private:
    const std::uint32_t* next_;
    int n_slabs_;
    std::uint32_t mine_[2] = {};
};

template <class Tile, class T, class Y>
__device__ void gather(const hinm_product<T, Y>& p, int stage, const tile_columns& columns,
                       std::size_t first_token) {
    const int thread = static_cast<int>(threadIdx.x);
    const std::size_t token = first_token + static_cast<std::size_t>(Tile::gathered_token(thread));
    const bool exists = token < p.tokens;
    const auto* const x = reinterpret_cast<const unsigned char*>(p.x + token);
    PARE_UNROLL
    for (int i = 0; i < Tile::gathered_pieces; ++i) {
        const int column = Tile::gathered_column(thread, i);
        const std::uint32_t feature = columns.of(Tile::gathered_half(i), column);
        // Of what does not exist the address does not matter.
        copy_piece(stage + Tile::x_offset(column, Tile::gathered_token(thread)),
                   x + std::uint64_t{feature} * p.x_stride_bytes, exists && feature != no_column);
    }
}

template <class Tile, class T>
__device__ void copy_weights(const hinm<T>& weights, int stage, int slab) {
    const int thread = static_cast<int>(threadIdx.x);
    const std::size_t at = blockIdx.x * weights.n_slabs + static_cast<std::size_t>(slab);
    const auto copy = [&](const void* from, int offset, int bytes) {
        const auto* const first = static_cast<const unsigned char*>(from);
        PARE_UNROLL
        for (int i = 0; i < bytes; i += 16 * Tile::threads)
            if (const int byte = i + 16 * thread; byte < bytes)
                copy_piece(stage + offset + byte, first + byte, true);
    };
    copy(weights.values + at * (Tile::values_bytes / sizeof(T)), Tile::values_offset,
         Tile::values_bytes);
    copy(weights.metadata + at * (Tile::metadata_bytes / sizeof(std::uint32_t)),
         Tile::metadata_offset, Tile::metadata_bytes);
}

/// Adds the products of a slab to a warp's sums.
template <class Tile, class T>
__device__ void multiply(int stage, int warp, int lane,
                         float (&sums)[Tile::row_fragments][Tile::token_fragments][4]) {
    std::uint32_t words[Tile::row_fragments / 2][2];
    PARE_UNROLL
    for (int pair = 0; pair < Tile::row_fragments / 2; ++pair)
        load_shared(words[pair], stage + Tile::words_offset(warp, pair, lane));
    PARE_UNROLL
    for (int step = 0; step < 2; ++step) {
        std::uint32_t a[Tile::row_fragments][4];
        PARE_UNROLL
        for (int m = 0; m < Tile::row_fragments; ++m)
            load_shared(a[m], stage + Tile::a_offset(warp, step, m, lane));
        PARE_UNROLL
        for (int n = 0; n < Tile::token_fragments; ++n) {
            std::uint32_t b[4];
            load_transposed(b, stage + Tile::b_offset(warp, step, n, lane));
            PARE_UNROLL
            for (int m = 0; m < Tile::row_fragments; m += 2) {
                multiply_add<0>(T{}, sums[m][n], a[m], b, words[m / 2][step]);
                multiply_add<1>(T{}, sums[m + 1][n], a[m + 1], b, words[m / 2][step]);
            }
        }
    }
}

/// As kernel::finish(), up to the rounding of a fused multiply-add.
__device__ inline float finish(float sum, float scale, float bias, kernel::activation then) {
    const float x = scale * sum + bias;
    if (then == kernel::activation::none) return x;
    if (then == kernel::activation::relu6 && x > 6.0f) return 6.0f;
    return x < 0.0f ? 0.0f : x;
}

/// Stores a warp's sums, two tokens at once, at the rows where the order wants them.
template <class Tile, class T, class Y>
__device__ void store(const hinm_product<T, Y>& p, std::size_t first_token, int warp, int lane,
                      const float (&sums)[Tile::row_fragments][Tile::token_fragments][4]) {
    const std::size_t first_place = blockIdx.x * p.weights.tile_rows;
    PARE_UNROLL
    for (int pair = 0; pair < 2 * Tile::row_fragments; ++pair) {
        const int m = pair / 2, element = pair % 2 * 2;
        const mma_sp::position at = mma_sp::d(lane, element);
        const std::size_t place =
            first_place + static_cast<std::size_t>(Tile::first_row(warp, m) + at.row);
        if (place >= p.weights.rows) continue;
        const std::size_t row = p.weights.in_place ? place : p.weights.outputs[place];
        const float scale = p.scale == nullptr ? 1.0f : p.scale[row];
        const float bias = p.bias == nullptr ? 0.0f : p.bias[row];
        Y* const y = p.y + row * p.y_stride;
        PARE_UNROLL
        for (int n = 0; n < Tile::token_fragments; ++n) {
            const std::size_t token =
                first_token + static_cast<std::size_t>(Tile::first_token(warp, n) + at.token);
            const float low = finish(sums[m][n][element], scale, bias, p.then);
            const float high = finish(sums[m][n][element + 1], scale, bias, p.then);
            if (token + 1 < p.tokens) store_pair(y + token, low, high);
            else if (token < p.tokens) store_one(y + token, low);
        }
    }
}

}  // namespace detail
}  // namespace pare::cuda::inline PARE_ARCH_NAMESPACE

#endif  // PARE_CUDA_HINM_STEPS_CUH
