// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KERNEL_SHIFTED_MAPS_HPP
#define PARE_KERNEL_SHIFTED_MAPS_HPP

#include "../core/executor.hpp"
#include "../packed/block.hpp"
#include "decoded_blocks.hpp"
#include "epilogue.hpp"
#include "maps.hpp"
#include "simd/block_panel.hpp"
#include "simd/panel.hpp"
#include "tap_columns.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

// Convolutions of stride 1 without patches: with its zeros around it, a map shifted by a tap is
// what the tap sees, so a block needs no more than where its column's shifted map begins.

#if PARE_HAS_SIMD
namespace pare::kernel::inline PARE_ARCH_NAMESPACE {
namespace detail {

/// Some rows of an image's maps with the zeros around them, (channels, rows, width).
class shifted_maps {
  public:
    /// For output rows as many as `floats` hold, at most all.
    shifted_maps(const window& over, const maps<const float>& x, std::size_t floats) noexcept
        : over_(over), channels_(x.extent(1)), out_(over.outputs(map_of(x))),
          width_(out_.width + over.kernel.width - 1) {
        const std::size_t rows = floats / (channels_ * width_), more = over.kernel.height - 1;
        out_rows_ = rows <= more ? 0 : rows - more < out_.height ? rows - more : out_.height;
    }

    /// Whether no vector of output pixels crosses the end of a row, and there is room for a row.
    bool serve() const noexcept {
        return over_.stride == extent_2d{1, 1} && out_.width % simd::lanes == 0 && out_rows_ > 0;
    }
    std::size_t out_rows() const noexcept { return out_rows_; }

    /// Copies what the output rows [first, first + n) of an image see. n <= out_rows()
    void copy(const maps<const float>& x, std::size_t image, std::size_t first, std::size_t n,
              float* to) const noexcept {
        const std::size_t left = over_.around.left, in = x.extent(3);
        for (std::size_t c = 0; c < channels_; ++c)
            for (std::size_t r = first; r < first + n + over_.kernel.height - 1;
                 ++r, to += width_) {
                const bool zeros = r < over_.around.top || r >= over_.around.top + x.extent(2);
                fill_zeros(to, zeros ? width_ : left);
                if (zeros) continue;
                std::memcpy(to + left, &x(image, c, r - over_.around.top, 0), in * sizeof(float));
                fill_zeros(to + left + in, width_ - left - in);
            }
    }
    /// Where the shifted map of a weight's column begins, of maps with n output rows.
    std::uint32_t offset(std::size_t column, std::size_t n) const noexcept {
        const std::size_t taps = area(over_.kernel), tap = column % taps;
        const std::size_t row =
            column / taps * (n + over_.kernel.height - 1) + tap / over_.kernel.width;
        return static_cast<std::uint32_t>(row * width_ + tap % over_.kernel.width);
    }
    /// Where in a shifted map output pixel p is.
    std::size_t place(std::size_t p) const noexcept {
        return p / out_.width * width_ + p % out_.width;
    }

  private:
    window over_;
    std::size_t channels_;
    extent_2d out_;
    std::size_t width_;
    std::size_t out_rows_;
};

/// Activations of Tokens pixels for block_panel: column c's begin at offsets[c], vector v's at
/// places[v] from there.
template <std::size_t Tokens>
struct shifted_pixels {
    const float* maps;
    const std::uint32_t* offsets;
    std::array<std::size_t, Tokens / simd::lanes> places;

    PARE_ALWAYS_INLINE const float* at(std::size_t column, std::size_t vec) const noexcept {
        return maps + offsets[column] + places[vec];
    }
};

/// Adds a band's products to `to`, (rows, n pixels) of that stride, vector after vector of pixels.
template <packed::block_weights Layout>
void add_shifted(const Layout& w, std::size_t band, const shifted_maps& shifts, const float* maps,
                 const std::uint32_t* offsets, std::size_t n, float* to,
                 std::size_t stride) noexcept {
    as_floats(w, band, 0, w.rows,
              [&]<class Floats>(const Floats& floats, std::size_t begin, std::size_t end) {
                  const auto add = [&]<std::size_t Tokens>(std::size_t p) {
                      shifted_pixels<Tokens> x{maps, offsets, {}};
                      for (std::size_t v = 0; v < x.places.size(); ++v)
                          x.places[v] = shifts.place(p + v * simd::lanes);
                      simd::block_panel<Floats, Tokens>::add(
                          floats, band, x, {begin, end, to + p + begin * stride, stride});
                  };
                  std::size_t p = 0;
                  for (; p + 32 <= n; p += 32) add.template operator()<32>(p);
                  for (; p < n; p += simd::lanes) add.template operator()<simd::lanes>(p);
              });
}

/// One group of convolve().
template <packed::block_weights Layout>
void convolve_shifted(const Layout& w, const shifted_maps& shifts, const maps<const float>& x,
                      const maps<float>& y, std::span<float> workspace, std::size_t part, auto& run,
                      const epilogue& after) noexcept {
    const std::size_t rows_at_once = shifts.out_rows();
    const std::size_t tiles = (y.extent(2) + rows_at_once - 1) / rows_at_once;
    const std::size_t items = tiles * x.extent(0), fit = workspace.size() / part;
    const std::size_t at_once = fit < items ? fit : items;
    run.parallel_for(at_once, 1, [&](std::size_t worker, std::size_t end) {
        std::array<std::uint32_t, Layout::band_cols> offsets;
        for (; worker < end; ++worker)
            for (std::size_t item = worker; item < items; item += at_once) {
                const std::size_t image = item / tiles, first = item % tiles * rows_at_once;
                const std::size_t left = y.extent(2) - first;
                const std::size_t n_rows = left < rows_at_once ? left : rows_at_once;
                const std::size_t n = n_rows * y.extent(3);
                float* const maps = workspace.data() + worker * part;
                shifts.copy(x, image, first, n_rows, maps);
                for (std::size_t r = 0; r < w.rows; ++r) fill_zeros(&y(image, r, first, 0), n);
                for (std::size_t band = 0; band < w.n_bands(); ++band) {
                    for (std::size_t c = 0; c < w.cols_of(band); ++c)
                        offsets[c] = shifts.offset(band * Layout::band_cols + c, n_rows);
                    add_shifted(w, band, shifts, maps, offsets.data(), n, &y(image, 0, first, 0),
                                y.stride(1));
                }
                for (std::size_t r = 0; r < w.rows && !is_nothing(after); ++r)
                    simd::store_row(&y(image, r, first, 0), n, after, r, &y(image, r, first, 0));
            }
    });
}

}  // namespace detail
}  // namespace pare::kernel::inline PARE_ARCH_NAMESPACE
#endif

#endif  // PARE_KERNEL_SHIFTED_MAPS_HPP
