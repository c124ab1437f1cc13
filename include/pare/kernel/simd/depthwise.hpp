// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KERNEL_SIMD_DEPTHWISE_HPP
#define PARE_KERNEL_SIMD_DEPTHWISE_HPP

#include "../../core/tensor_view.hpp"
#include "../epilogue.hpp"
#include "../tap_columns.hpp"
#include "../window.hpp"
#include "activation.hpp"
#include "vec.hpp"

#include <array>
#include <cstddef>
#include <cstdint>

#if PARE_HAS_SIMD
namespace pare::simd::inline PARE_ARCH_NAMESPACE {

/// A map under a filter, a block of outputs at a time. What the block sees is copied with the zeros
/// around the map, a plane for every phase of the stride: then a tap reads consecutive floats
/// whatever the stride, and vectors run on from row to row, so that narrow maps fill them. What
/// comes out between the rows is not stored.
class depthwise {
  public:
    depthwise(const kernel::window& over, kernel::extent_2d out) noexcept
        : over_(over), phases_{lesser(over.stride.height, over.kernel.height),
                               lesser(over.stride.width, over.kernel.width)},
          reach_{(over.kernel.height - 1) / over.stride.height,
                 (over.kernel.width - 1) / over.stride.width},
          room_(floats / (phases_.height * phases_.width)) {
        if (!fits()) return;
        block_.width = lesser(out.width, room_ / (1 + reach_.height) - reach_.width);
        plane_.width = block_.width + reach_.width;
        block_.height = lesser(out.height, room_ / plane_.width - reach_.height);
        plane_.height = block_.height + reach_.height;
        one_block_ = block_ == out;
        for (std::size_t ky = 0, i = 0; ky < over.kernel.height; ++ky)
            for (std::size_t kx = 0; kx < over.kernel.width; ++kx, ++i)
                offsets_[i] = plane(ky % over.stride.height, kx % over.stride.width) +
                              ky / over.stride.height * plane_.width + kx / over.stride.width;
    }

    /// False for kernels too large for the memory here: the scalar twin then serves.
    bool fits() const noexcept {
        return n_taps() <= max_taps && (1 + reach_.height) * (1 + reach_.width) <= room_;
    }

    /// y = x under the filter (kernel.height * kernel.width) of a channel; x has the same extents
    /// in all calls. @pre fits()
    void run(const float* filter, matrix_view<const float> x, matrix_view<float> y,
             std::size_t channel, const kernel::epilogue& after) noexcept {
        for (std::size_t row = 0; row < y.rows(); row += block_.height)
            for (std::size_t col = 0; col < y.cols(); col += block_.width) {
                copy_inputs(x, row, col);
                if (n_taps() == 9) add_taps<9>(filter, channel, after);
                else add_taps<0>(filter, channel, after);
                store(y.block(row, col, lesser(block_.height, y.rows() - row),
                              lesser(block_.width, y.cols() - col)));
            }
    }

  private:
    static constexpr std::size_t floats =
        8 * 1024;  // of all planes: the first-level cache has them
    static constexpr std::size_t max_taps = 256;
    static constexpr std::size_t at_once = 4 * lanes;
    static constexpr std::size_t max_narrow = 4;  // vectors of a row

    static constexpr std::size_t lesser(std::size_t a, std::size_t b) noexcept {
        return a < b ? a : b;
    }
    std::size_t n_taps() const noexcept { return over_.kernel.height * over_.kernel.width; }
    std::size_t plane(std::size_t phase_y, std::size_t phase_x) const noexcept {
        return (phase_y * phases_.width + phase_x) * plane_.height * plane_.width;
    }

    // Of the outputs from (row, col) on, those of a whole block even where y ends before.
    void copy_inputs(matrix_view<const float> x, std::size_t row, std::size_t col) noexcept {
        if (has_narrow_planes()) copy_narrow(x, row, col);
        else copy_rows(x, row, col);
        // The last vectors read beyond.
        if (!framed_)
            kernel::detail::fill_zeros(&inputs_[plane(phases_.height - 1, phases_.width)], at_once);
        framed_ = one_block_;
    }
    void copy_rows(matrix_view<const float> x, std::size_t row, std::size_t col) noexcept {
        for (std::size_t py = 0; py < phases_.height; ++py)
            for (std::size_t px = 0; px < phases_.width; ++px) {
                const kernel::detail::tap_columns columns(px, over_, x.cols());
                const auto piece = columns.of(col, plane_.width);
                float* to = &inputs_[plane(py, px)];
                for (std::size_t i = 0; i < plane_.height; ++i, to += plane_.width) {
                    const std::size_t v =
                        (row + i) * over_.stride.height + py;  // from the zeros on
                    const bool seen = v >= over_.around.top && v < over_.around.top + x.rows();
                    if (seen && framed_) columns.copy_seen(&x(v - over_.around.top, 0), piece, to);
                    else if (seen) columns.copy(&x(v - over_.around.top, 0), piece, to);
                    else if (!framed_) kernel::detail::fill_zeros(to, plane_.width);
                }
            }
    }

    bool has_narrow_planes() const noexcept {
        return PARE_HAS_MASKED_LOADS && over_.stride == kernel::extent_2d{1, 1} &&
               plane_.width <= max_narrow * lanes;
    }
    // Whole vectors a row: what they put beyond it are zeros, and then the next row's.
    void copy_narrow([[maybe_unused]] matrix_view<const float> x, [[maybe_unused]] std::size_t row,
                     [[maybe_unused]] std::size_t col) noexcept {
#if PARE_HAS_MASKED_LOADS
        const auto piece = kernel::detail::tap_columns(0, over_, x.cols()).of(col, plane_.width);
        const std::size_t n_vectors = (plane_.width + lanes - 1) / lanes;
        std::array<std::uint32_t, max_narrow> seen{};
        for (std::size_t i = piece.begin; i < piece.end; ++i)
            seen[i / lanes] |= std::uint32_t{1} << i % lanes;
        float* to = inputs_.data();
        for (std::size_t i = row; i < row + plane_.height; ++i, to += plane_.width) {
            const std::size_t v = i - over_.around.top;  // huge above the map
            const float* const from =
                kernel::detail::place(x.data_handle(), v * x.row_stride() + piece.at - piece.begin);
            if (v < x.rows())
                for (std::size_t k = 0; k < n_vectors; ++k)
                    load_where(seen[k], kernel::detail::place(from, k * lanes))
                        .store_unaligned(to + k * lanes);
            else if (!framed_) kernel::detail::fill_zeros(to, plane_.width);
        }
#endif
    }

    // The block's outputs, rows plane_.width apart. Taps: their number, 0 where it is any.
    template <std::size_t Taps>
    void add_taps(const float* filter, std::size_t channel,
                  const kernel::epilogue& after) noexcept {
        const std::size_t taps = Taps == 0 ? n_taps() : Taps;
        const std::size_t n = (block_.height - 1) * plane_.width + block_.width;
        const vecf bias(after.bias.empty() ? 0.0f : after.bias[channel]);
        const vecf scale(after.scale.empty() ? 1.0f : after.scale[channel]);
        for (std::size_t i = 0; i < n; i += at_once) {
            std::array<vecf, 4> sums;
            sums.fill(vecf(0.0f));
            for (std::size_t k = 0; k < taps; ++k) {
                const vecf weight(filter[k]);
                const float* from = &inputs_[offsets_[k] + i];
                PARE_UNROLL
                for (std::size_t j = 0; j < 4; ++j)
                    sums[j] = fma(weight, load(from + j * lanes), sums[j]);
            }
            for (std::size_t j = 0; j < 4; ++j)
                activate(after.then, sums[j] * scale + bias)
                    .store_aligned(&outputs_[i + j * lanes]);
        }
    }

    void store(matrix_view<float> y) const noexcept {
        std::size_t r = 0;
        if (y.row_stride() == y.cols()) {  // whole vectors: what they put beyond is the next rows'
            const std::size_t n_vectors = (y.cols() + lanes - 1) / lanes;
            for (; r * y.cols() + n_vectors * lanes <= y.rows() * y.cols(); ++r)
                for (std::size_t k = 0; k < n_vectors; ++k)
                    load(&outputs_[r * plane_.width + k * lanes])
                        .store_unaligned(&y(r, 0) + k * lanes);
        }
        for (; r < y.rows(); ++r)
            kernel::detail::copy_floats(&outputs_[r * plane_.width], y.cols(), &y(r, 0));
    }

    kernel::window over_;
    kernel::extent_2d phases_;  // of the stride that the kernel sees
    kernel::extent_2d reach_;   // rows and columns of a plane beyond those of the outputs
    std::size_t room_;          // of a plane
    kernel::extent_2d block_, plane_;
    bool one_block_ = false, framed_ = false;    // the zeros of one block serve all maps
    std::array<std::size_t, max_taps> offsets_;  // of what taps see of output (0, 0)
    alignas(64) std::array<float, floats + at_once> inputs_, outputs_;
};

}  // namespace pare::simd::inline PARE_ARCH_NAMESPACE
#endif

#endif  // PARE_KERNEL_SIMD_DEPTHWISE_HPP
