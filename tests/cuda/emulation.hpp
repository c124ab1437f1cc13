// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_TESTS_CUDA_EMULATION_HPP
#define PARE_TESTS_CUDA_EMULATION_HPP

#include <pare/cuda/hinm_tile.hpp>
#include <pare/kernel/epilogue.hpp>

#include "ptx.hpp"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <vector>

namespace pare::testing {

/// When an asynchronous copy arrives: both must do.
enum class arrival { at_once, when_waited_for };

/// hinm_gemm on the CPU: every thread's copies and every warp's instructions in the kernel's order,
/// by the kernel's index arithmetic.
template <int V, int Tokens, class T>
class emulated_block {
    using tile = cuda::hinm_tile<V, Tokens>;

  public:
    struct product {
        cuda::hinm<T> weights;
        const T* x;  ///< (features, tokens), rows x_stride apart
        std::size_t x_stride;
        float* y;  ///< (outputs, tokens), rows y_stride apart
        std::size_t y_stride, tokens;
        epilogue after;
    };

    emulated_block(const product& p, std::size_t block_x, std::size_t block_y, arrival arrives)
        : p_(p), tile_(block_x), first_token_(block_y * Tokens), arrives_(arrives),
          shared_(tile::shared_bytes, std::byte{0xff}), sums_(tile::warps) {}

    /// False where the result would be undefined.
    bool run() {
        const int n_slabs = static_cast<int>(p_.weights.n_slabs);
        for (int slab = 0; slab < tile::stages - 1; ++slab) copy(slab);
        for (int slab = 0; slab < n_slabs; ++slab) {
            wait(tile::stages - 2);
            copy(slab + tile::stages - 1);
            for (int warp = 0; warp < tile::warps; ++warp)
                if (!multiply(slab % tile::stages * tile::stage_bytes, warp)) return false;
        }
        for (int warp = 0; warp < tile::warps; ++warp) store(warp);
        return true;
    }

  private:
    static std::size_t at(int i) { return static_cast<std::size_t>(i); }

    void copy_piece(int to, const void* from, bool exists) {
        const auto arrive = [this, to, from, exists] {
            if (exists) std::memcpy(&shared_[at(to)], from, 16);
            else std::memset(&shared_[at(to)], 0, 16);
        };
        if (arrives_ == arrival::at_once) arrive();
        else group_.push_back(arrive);
    }
    void wait(int n_groups) {
        while (groups_.size() > at(n_groups)) {
            for (const auto& arrive : groups_.front()) arrive();
            groups_.erase(groups_.begin());
        }
    }

    void copy(int slab) {
        if (at(slab) < p_.weights.n_slabs) {
            const int stage = slab % tile::stages * tile::stage_bytes;
            const std::size_t slab_at = tile_ * p_.weights.n_slabs + at(slab);
            const std::uint32_t* const columns = p_.weights.columns + slab_at * cuda::slab_depth;
            for (int thread = 0; thread < tile::threads; ++thread) gather(stage, columns, thread);
            copy_bytes(stage + tile::values_offset,
                       p_.weights.values + slab_at * tile::values_bytes / 2, tile::values_bytes);
            copy_bytes(stage + tile::metadata_offset,
                       p_.weights.metadata + slab_at * tile::metadata_bytes / 4,
                       tile::metadata_bytes);
        }
        groups_.push_back(std::move(group_));
        group_.clear();
    }
    void copy_bytes(int to, const void* from, int bytes) {
        for (int i = 0; i < bytes; i += 16)
            copy_piece(to + i, static_cast<const std::byte*>(from) + i, true);
    }
    void gather(int stage, const std::uint32_t* columns, int thread) {
        const std::size_t token = first_token_ + at(tile::gathered_token(thread));
        for (int i = 0; i < tile::gathered_pieces; ++i) {
            const int column = tile::gathered_column(thread, i);
            const std::uint32_t feature =
                columns[at(tile::gathered_half(i) * 32 + column % cuda::mma_sp::lanes)];
            const bool exists = token < p_.tokens && feature != cuda::no_column;
            copy_piece(stage + tile::x_offset(column, tile::gathered_token(thread)),
                       exists ? p_.x + feature * p_.x_stride + token : p_.x, exists);
        }
    }

    template <std::size_t N>
    ptx::registers<std::uint32_t, N> load(auto offset) const {
        ptx::registers<std::uint32_t, N> r;
        for (int lane = 0; lane < 32; ++lane)
            std::memcpy(r[at(lane)].data(), &shared_[at(offset(lane))], 4 * N);
        return r;
    }
    bool multiply(int stage, int warp) {
        for (int step = 0; step < 2; ++step)
            for (int n = 0; n < tile::token_fragments; ++n) {
                std::array<int, 32> rows;
                for (int lane = 0; lane < 32; ++lane)
                    rows[at(lane)] = stage + tile::b_offset(warp, step, n, lane);
                const auto b = ptx::ldmatrix_x4_trans(shared_, rows);
                for (int m = 0; m < tile::row_fragments; ++m) {
                    const auto a = load<4>(
                        [&](int lane) { return stage + tile::a_offset(warp, step, m, lane); });
                    const auto words = load<1>([&](int lane) {
                        return stage + tile::words_offset(warp, m / 2, lane) + 4 * step;
                    });
                    auto& d = sums_[at(warp)].d[at(m)][at(n)];
                    if (!ptx::mma_sp_m16n8k32<T>(d, a, b, words, m % 2)) return false;
                }
            }
        return true;
    }

    void store(int warp) {
        for (int m = 0; m < tile::row_fragments; ++m)
            for (int n = 0; n < tile::token_fragments; ++n)
                for (int lane = 0; lane < 32; ++lane)
                    for (int element = 0; element < 4; ++element) {
                        const auto d = cuda::mma_sp::d(lane, element);
                        const std::size_t place = tile_ * V + at(tile::first_row(warp, m) + d.row);
                        const std::size_t token =
                            first_token_ + at(tile::first_token(warp, n) + d.token);
                        if (place >= p_.weights.rows || token >= p_.tokens) continue;
                        const std::size_t row = p_.weights.output(place);
                        p_.y[row * p_.y_stride + token] = kernel::finish(
                            p_.after, row, sums_[at(warp)].d[at(m)][at(n)][at(lane)][at(element)]);
                    }
    }

    struct warp_sums {
        std::array<std::array<ptx::registers<float, 4>, 8>, 4> d = {};
    };

    product p_;
    std::size_t tile_, first_token_;
    arrival arrives_;
    std::vector<std::byte> shared_;
    std::vector<std::function<void()>> group_;
    std::vector<std::vector<std::function<void()>>> groups_;
    std::vector<warp_sums> sums_;
};

}  // namespace pare::testing

#endif  // PARE_TESTS_CUDA_EMULATION_HPP
