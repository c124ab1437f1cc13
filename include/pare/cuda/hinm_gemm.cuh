// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_CUDA_HINM_GEMM_CUH
#define PARE_CUDA_HINM_GEMM_CUH

#include "../kernel/epilogue.hpp"
#include "hinm_steps.cuh"
#include "hinm_tile.hpp"
#include "transpose.cuh"

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>

namespace pare::cuda::inline PARE_ARCH_NAMESPACE {

namespace detail {

/// y = x W^T for the rows of one tile and Tokens tokens: a block of the grid (tiles, tokens).
/// Blocks that follow one another read the same tokens, which the second-level cache then has.
template <int V, int Tokens, class T, class Y>
__global__ void __launch_bounds__(hinm_tile<V, Tokens>::threads, 2)
    hinm_gemm(const hinm_product<T, Y> p) {
    using tile = hinm_tile<V, Tokens>;
    extern __shared__ __align__(128) unsigned char shared[];
    const int base = shared_address(shared);
    const int warp = static_cast<int>(threadIdx.x) / mma_sp::lanes;
    const int lane = static_cast<int>(threadIdx.x) % mma_sp::lanes;
    const std::size_t first_token = std::size_t{blockIdx.y} * Tokens;
    const int n_slabs = static_cast<int>(p.weights.n_slabs);

    tile_columns columns(p.weights, lane);
    const auto copy = [&](int slab) {
        if (slab < n_slabs) {
            const int stage = base + slab % tile::stages * tile::stage_bytes;
            gather<tile>(p, stage, columns, first_token);
            copy_weights<tile>(p.weights, stage, slab);
            columns.load(slab + 1);
        }
        commit_copies();  // of nothing at the end: so the number of groups tells the slab
    };
    PARE_UNROLL
    for (int slab = 0; slab < tile::stages - 1; ++slab) copy(slab);

    float sums[tile::row_fragments][tile::token_fragments][4] = {};
    for (int slab = 0; slab < n_slabs; ++slab) {
        wait_for_copies<tile::stages - 2>();
        __syncthreads();  // all have what they copied, and have left the stage that is next filled
        copy(slab + tile::stages - 1);
        multiply<tile, T>(base + slab % tile::stages * tile::stage_bytes, warp, lane, sums);
    }
    store<tile>(p, first_token, warp, lane, sums);
}

template <int V, int Tokens, class T, class Y>
status launch_hinm_gemm(const hinm_product<T, Y>& p, cudaStream_t stream) noexcept {
    using tile = hinm_tile<V, Tokens>;
    const auto kernel = &hinm_gemm<V, Tokens, T, Y>;
    const std::size_t down = (p.tokens + Tokens - 1) / Tokens;
    if (p.weights.n_tiles() > max_blocks || down > max_blocks_down)
        return error{errc::invalid_argument, "hinm_gemm: too many rows or tokens"};
    if (auto ok = to_status(cudaFuncSetAttribute(
            kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, tile::shared_bytes));
        !ok)
        return ok;
    const dim3 grid(static_cast<unsigned>(p.weights.n_tiles()), static_cast<unsigned>(down));
    return launch(kernel, grid, tile::threads, tile::shared_bytes, stream, p);
}

template <int V, class T, class Y>
status choose_hinm_gemm(const hinm_product<T, Y>& p, cudaStream_t stream) noexcept {
    int device = 0, multiprocessors = 0, shared_bytes = 0;
    cudaError_t returned = cudaGetDevice(&device);
    if (returned == cudaSuccess)
        returned = cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, device);
    if (returned == cudaSuccess)
        returned =
            cudaDeviceGetAttribute(&shared_bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
    if (auto ok = to_status(returned); !ok) return ok;
    return is_wide<V>(p.weights.n_tiles(), p.tokens, multiprocessors, shared_bytes)
               ? launch_hinm_gemm<V, wide_tokens<V>>(p, stream)
               : launch_hinm_gemm<V, narrow_tokens>(p, stream);
}

/// Elements from one row to the next of a feature-major copy with as many tokens.
constexpr std::size_t copy_stride(std::size_t tokens) noexcept {
    return (tokens + piece - 1) / piece * piece;
}
/// A single feature of consecutive tokens is both, and may begin anywhere as the latter.
template <class T>
constexpr bool is_token_major(const matrix_view<T>& view) noexcept {
    return view.col_stride() == 1;
}
template <class T>
constexpr std::size_t copy_bytes(const matrix_view<T>& view) noexcept {
    const std::size_t bytes = view.cols() * copy_stride(view.rows()) * sizeof(T);
    return is_token_major(view) ? (bytes + 15) / 16 * 16 : 0;
}
template <class T>
matrix_view<T> feature_major(std::byte* memory, std::size_t tokens, std::size_t features) noexcept {
    return matrix_view<T>(reinterpret_cast<T*>(memory), features, tokens, copy_stride(tokens))
        .transposed();
}
inline bool is_aligned(const void* memory) noexcept {
    return reinterpret_cast<std::uintptr_t>(memory) % 16 == 0;
}
template <class T>
bool is_aligned(const matrix_view<T>& features) noexcept {
    return is_aligned(features.data_handle()) && features.col_stride() % piece == 0;
}

}  // namespace detail

/// What hinm_gemm() stores for weights and activations in T.
template <class Y, class T>
concept hinm_output = std::same_as<Y, T> || std::same_as<Y, float>;

/// Bytes of workspace that hinm_gemm() takes: for a feature-major copy of x, of y, or of both,
/// whichever is token-major.
template <class T, class Y>
constexpr std::size_t hinm_workspace_bytes(matrix_view<const T> x, matrix_view<Y> y) noexcept {
    return detail::copy_bytes(x) + detail::copy_bytes(y);
}

/// y = x W^T on a GPU of compute capability 8.0 or more, for x (tokens, in_features) and y (tokens,
/// out_features), then what the epilogue says: products of T summed in f32. Everything lies on the
/// device: weights, activations, the epilogue's spans, and `workspace`, hinm_workspace_bytes()
/// long; weights and workspace at multiples of 16 bytes. Queued on the stream, of the current
/// device.
///
/// A tile gathers the features that it keeps, so x and y want to be feature-major (views
/// `.transposed()`), features beginning at multiples of 16 bytes and those of x being readable up
/// to one; then each row of y is stored where the order of the weights says, free of charge. A
/// token-major x or y goes through the workspace. y must overlap nothing else.
/// @return shape_mismatch, not_contiguous for a view with neither stride 1 or features that begin
/// elsewhere, buffer_too_small, invalid_argument for weights or workspace at other addresses, tiles
/// that pack() does not make and more than some 4 million tokens, out_of_memory or io_failure for
/// what CUDA refused (to_status())
/// @pre packed::check() of what was packed
template <half_storage T, hinm_output<T> Y>
status hinm_gemm(const hinm<T>& weights, matrix_view<const T> x, matrix_view<Y> y,
                 cudaStream_t stream, const epilogue& after = {},
                 std::span<std::byte> workspace = {}) noexcept {
    if (x.cols() != weights.cols || y.cols() != weights.rows || x.rows() != y.rows())
        return error{errc::shape_mismatch,
                     "hinm_gemm: x (tokens, in), y (tokens, out) and W disagree"};
    if (!kernel::fits(after, weights.rows))
        return error{errc::shape_mismatch, "hinm_gemm: one bias and one scale per output channel"};
    if ((x.col_stride() != 1 && x.row_stride() != 1) ||
        (y.col_stride() != 1 && y.row_stride() != 1))
        return error{errc::not_contiguous, "hinm_gemm: x and y need consecutive rows or columns"};
    if (!detail::is_aligned(weights.values) || !detail::is_aligned(weights.metadata) ||
        !detail::is_aligned(workspace.data()))
        return error{errc::invalid_argument,
                     "hinm_gemm: weights and workspace begin at multiples of 16 bytes"};
    if (workspace.size() < hinm_workspace_bytes(x, y))
        return error{errc::buffer_too_small,
                     "hinm_gemm: workspace is shorter than hinm_workspace_bytes()"};
    if (y.empty()) return {};

    const std::size_t tokens = x.rows();
    matrix_view<const T> features = x;
    if (detail::is_token_major(x)) {
        const auto copy = detail::feature_major<T>(workspace.data(), tokens, x.cols());
        if (auto ok = transpose(x, copy, stream); !ok) return ok;
        features = copy;
    }
    matrix_view<Y> outputs = y;
    if (detail::is_token_major(y))
        outputs =
            detail::feature_major<Y>(workspace.data() + detail::copy_bytes(x), tokens, y.cols());
    if (!detail::is_aligned(features) || !detail::is_aligned(outputs))
        return error{errc::not_contiguous,
                     "hinm_gemm: features begin at multiples of 16 bytes, 8 tokens apart"};

    if (features.col_stride() > 0xffffffff / sizeof(T))
        return error{errc::invalid_argument, "hinm_gemm: too many tokens"};

    const detail::hinm_product<T, Y> p{
        weights,
        features.data_handle(),
        static_cast<std::uint32_t>(features.col_stride() * sizeof(T)),
        outputs.data_handle(),
        outputs.col_stride(),
        tokens,
        after.bias.data(),
        after.scale.data(),
        after.then};
    status done;
    if (weights.tile_rows == 32) done = detail::choose_hinm_gemm<32>(p, stream);
    else if (weights.tile_rows == 64) done = detail::choose_hinm_gemm<64>(p, stream);
    else if (weights.tile_rows == 128) done = detail::choose_hinm_gemm<128>(p, stream);
    else return error{errc::invalid_argument, "hinm_gemm: tiles have 32, 64 or 128 rows"};
    if (!done || !detail::is_token_major(y)) return done;
    return transpose(matrix_view<const Y>(outputs.transposed()), y.transposed(), stream);
}

}  // namespace pare::cuda::inline PARE_ARCH_NAMESPACE

#endif  // PARE_CUDA_HINM_GEMM_CUH
