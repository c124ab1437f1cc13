// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KERNEL_PATCHES_HPP
#define PARE_KERNEL_PATCHES_HPP

#include "../core/executor.hpp"
#include "../core/tensor_view.hpp"
#include "maps.hpp"
#include "tap_columns.hpp"
#include "tap_view.hpp"

#include <array>
#include <cstddef>
#include <cstdint>

namespace pare::kernel::inline PARE_ARCH_NAMESPACE {
namespace detail {

/// Copies what the weights' columns see of some output pixels, counted through all images.
class pixel_view {
  public:
    static constexpr std::size_t most = tap_view::max_pixels;

    /// Of the pixels [first, first + n), then of none up to `places`. @pre n <= places <= most
    pixel_view(const window& over, const maps<const float>& x, std::size_t first, std::size_t n,
               std::size_t places) noexcept
        : over_(over), x_(x), places_(places) {
        const extent_2d out = over.outputs(map_of(x));
        std::size_t image = first / area(out), row = first % area(out) / out.width;
        std::size_t col = first % out.width;
        for (std::size_t lane = 0; lane < n;) {
            const std::size_t y = row * over.stride.height;
            first_y_ = least(first_y_, y);
            if (y > last_y_) last_y_ = y;
            const std::size_t left = least(out.width - col, n - lane);
            const std::size_t some = least(left, lanes - lane % lanes);
            runs_[n_runs_++] = {lane, some, col, y, image * x.stride(0)};
            lane += some, col += some;
            if (col < out.width) continue;
            col = 0;
            if (++row == out.height) row = 0, ++image;
        }
    }

    /// to(r)[i] = what pixel i sees by column r of the weights, for i below `places`.
    void gather(std::size_t begin, std::size_t end, auto&& to) noexcept {
        const std::size_t taps = area(over_.kernel);
        // Channel by channel, for their maps may share the sets of a cache.
        for (std::size_t tap = 0; tap < taps; tap += at_once) {
            for (std::size_t c = begin / taps; c * taps < end; ++c)
                for (std::size_t i = 0; i < at_once && tap + i < taps; ++i) {
                    const std::size_t r = c * taps + tap + i;
                    if (r < begin || r >= end) continue;
                    look(tap);
                    const auto& [view, below] = sources_[i];
                    const float* const map = x_.data_handle() + c * x_.stride(1);
                    views_[view].copy(map + below, to(r), places_);
                }
        }
    }

  private:
    static constexpr std::size_t lanes = tap_view::lanes, at_once = 16;

    /// Pixels of one output row and one vector: `col` is the first's; a tap in row 0 sees row y,
    /// counted from the zeros on, of the map at `image`.
    struct run {
        std::size_t first, n, col, y, image;
    };

    /// What a tap sees is what views_[view] sees `below` floats further on.
    struct source {
        std::size_t view, below;
    };

    static constexpr std::size_t least(std::size_t a, std::size_t b) noexcept {
        return a < b ? a : b;
    }

    // Makes the views of the taps from `first` on.
    void look(std::size_t first) noexcept {
        if (first == looked_) return;
        looked_ = first;
        const std::size_t width = over_.kernel.width;
        const std::size_t stop = least(first + at_once, area(over_.kernel));
        for (std::size_t begin = first; begin < first + width && begin < stop; ++begin) {
            std::array<tap_view::piece, most> columns;  // (runs) as if y were 0
            see_columns(begin % width, columns.data());
            std::size_t whole = at_once, whole_row = 0;  // a tap whose rows are all in the map
            for (std::size_t tap = begin, row = begin / width; tap < stop; tap += width, ++row) {
                const std::size_t i = tap - first;
                sources_[i] = {i, 0};
                if (is_within(row)) {
                    if (whole == at_once) whole = i, whole_row = row;
                    sources_[i] = {whole, (row - whole_row) * x_.extent(3)};
                }
                if (sources_[i].view == i) see_rows(row, columns.data(), views_[i]);
            }
        }
    }
    // Whether what taps of this row see of every pixel is between the zeros above and below.
    bool is_within(std::size_t row) const noexcept {
        const std::size_t top = over_.around.top;
        return first_y_ + row >= top && last_y_ + row < top + x_.extent(2);
    }
    void see_columns(std::size_t tap_col, tap_view::piece* pieces) const noexcept {
        const tap_columns columns(tap_col, over_, x_.extent(3));
        for (std::size_t i = 0; i < n_runs_; ++i) {
            const run& r = runs_[i];
            const tap_columns::piece seen = columns.of(r.col, r.n);
            if (seen.begin >= seen.end) {
                pieces[i] = {0, 0};
                continue;
            }
            const std::size_t begin = r.first % lanes + seen.begin, n = seen.end - seen.begin;
            const std::uint32_t bits = ((std::uint32_t{1} << n) - 1) << begin;
            pieces[i] = {r.image + seen.at - begin * over_.stride.width, bits};
        }
    }
    void see_rows(std::size_t tap_row, const tap_view::piece* pieces,
                  tap_view& view) const noexcept {
        view.begin(over_.stride.width, 2 * n_runs_ > places_);
        const std::size_t top = over_.around.top, height = x_.extent(2), width = x_.extent(3);
        std::size_t i = 0;
        for (std::size_t at = 0; at < places_; at += lanes)
            view.add_vector([&](auto&& add) {
                for (; i < n_runs_ && runs_[i].first < at + lanes; ++i) {
                    const std::size_t y = runs_[i].y + tap_row - top;  // huge above the map
                    if (y < height) add(tap_view::piece{pieces[i].at + y * width, pieces[i].seen});
                }
            });
    }
    window over_;
    maps<const float> x_;
    std::size_t places_, n_runs_ = 0;
    std::size_t first_y_ = static_cast<std::size_t>(-1), last_y_ = 0;  // of the runs
    std::array<run, most> runs_;
    // Of the taps from looked_ on.
    std::size_t looked_ = static_cast<std::size_t>(-1);
    std::array<source, at_once> sources_;
    std::array<tap_view, at_once> views_;
};

inline constexpr std::size_t patches_stack = 24 * 1024;  // said below, and of convolve()
static_assert(sizeof(pixel_view) < patches_stack);

}  // namespace detail

/// What output pixels see, so that a convolution is a product with them: patches (channels *
/// kernel.height * kernel.width, pixels) for the pixels [first, first + patches.cols()), counted
/// through all images, rows in the order of the weights. About 24 KiB of stack. @pre shapes agree,
/// pixels consecutive
template <executor Executor = serial>
void gather_patches(const window& over, maps<const float> x, std::size_t first,
                    matrix_view<float> patches, Executor&& run = {}) noexcept {
    constexpr std::size_t n_rows = 128, n_cols = detail::pixel_view::most;
    const auto parts = [](std::size_t all, std::size_t of) { return (all + of - 1) / of; };
    const auto least = [](std::size_t a, std::size_t b) { return a < b ? a : b; };
    const std::size_t row_parts = parts(patches.rows(), n_rows);
    run.parallel_for(
        row_parts * parts(patches.cols(), n_cols), 1, [&](std::size_t item, std::size_t stop) {
            while (item < stop) {  // the parts of the same pixels together
                const std::size_t row = item % row_parts * n_rows, col = item / row_parts * n_cols;
                const std::size_t next = least(stop, (item / row_parts + 1) * row_parts);
                const std::size_t end = least(row + (next - item) * n_rows, patches.rows());
                const std::size_t width = least(n_cols, patches.cols() - col);
                detail::pixel_view view(over, x, first + col, width, width);
                view.gather(row, end, [&](std::size_t r) { return &patches(r, col); });
                item = next;
            }
        });
}

}  // namespace pare::kernel::inline PARE_ARCH_NAMESPACE

#endif  // PARE_KERNEL_PATCHES_HPP
