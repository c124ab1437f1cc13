// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KERNEL_PATCHES_HPP
#define PARE_KERNEL_PATCHES_HPP

#include "../core/executor.hpp"
#include "../core/tensor_view.hpp"
#include "maps.hpp"
#include "simd/vec.hpp"
#include "tap_columns.hpp"

#include <array>
#include <cstddef>
#include <cstdint>

namespace pare::kernel::inline PARE_ARCH_NAMESPACE {
namespace detail {

/// What a tap sees of some output pixels, the same in all channels: pieces of vectors, whose lanes
/// are as far apart in the map as the pixels are.
class tap_view {
  public:
#if PARE_HAS_SIMD
    static constexpr std::size_t lanes = simd::lanes;
#else
    static constexpr std::size_t lanes = 16;
#endif
    static constexpr std::size_t max_pixels = 64, max_vectors = max_pixels / lanes;
    static constexpr std::size_t max_pieces = max_pixels + max_vectors;

    /// Lanes that see something, every other bit where the stride is 2; lane 0 is, or would be,
    /// `at` in the map.
    struct piece {
        std::size_t at;
        std::uint32_t lanes;
    };

    /// Of no vectors yet.
    void begin(std::size_t stride) noexcept { stride_ = stride, n_vectors_ = n_pieces_ = 0; }
    /// The next vector sees these pieces, and those of no lanes nothing.
    PARE_ALWAYS_INLINE void add_vector(auto&& each_piece) noexcept {
        piece last{0, 0};
        std::size_t n = n_pieces_;
        each_piece([&](const piece& p) {
            if (p.lanes == 0) return;
            if (last.lanes != 0 && last.at != p.at) pieces_[n++] = last, last.lanes = 0;
            last = {p.at, last.lanes | p.lanes};
        });
        pieces_[n++] = last;
        ends_[n_vectors_++] = n_pieces_ = n;
    }

    /// to[i] = what pixel i sees of a channel's map, for i below `n` and its vectors.
    void copy(const float* map, float* to, std::size_t n) const noexcept {
#if PARE_HAS_SIMD
        if (stride_ == 1)
            return in_vectors(
                to, n, [&](const piece& p) { return simd::load_where(p.lanes, place(map, p.at)); });
        if (stride_ == 2)
            return in_vectors(to, n, [&](const piece& p) {
                const float* const from = place(map, p.at);
                return simd::even_of(simd::load_where(p.lanes, from),
                                     simd::load_where(p.lanes >> lanes, from + lanes));
            });
#endif
        fill_zeros(to, n);
        for (std::size_t v = 0, i = 0; v < n_vectors_; ++v)
            for (; i < ends_[v]; ++i)
                for (std::size_t l = 0; l < lanes; ++l)
                    if ((pieces_[i].lanes >> l & 1) != 0)
                        to[v * lanes + l] = *place(map, pieces_[i].at + l * stride_);
    }

  private:
    std::size_t begin_of(std::size_t vector) const noexcept {
        return vector == 0 ? 0 : ends_[vector - 1];
    }
    // An address that need not be in the map.
    static const float* place(const float* map, std::size_t at) noexcept {
        return reinterpret_cast<const float*>(reinterpret_cast<std::uintptr_t>(map) +
                                              at * sizeof(float));
    }
#if PARE_HAS_SIMD
    PARE_ALWAYS_INLINE void in_vectors(float* to, std::size_t n, auto&& load) const noexcept {
        const std::size_t whole = n / lanes;
        if (n_pieces_ == n_vectors_) {  // one each
            const auto put = [&](std::size_t v) PARE_ALWAYS_INLINE_LAMBDA {
                load(pieces_[v]).store_unaligned(to + v * lanes);
            };
            std::size_t v = 0;
            for (; v + 4 <= whole; v += 4) PARE_UNROLL
            for (std::size_t i = 0; i < 4; ++i) put(v + i);
            for (; v < whole; ++v) put(v);
        } else {
            for (std::size_t v = 0, i = 0; v < whole; ++v) {
                simd::vecf seen = load(pieces_[i]);
                while (++i < ends_[v]) seen = seen | load(pieces_[i]);
                seen.store_unaligned(to + v * lanes);
            }
        }
        if (whole == n_vectors_) return;
        simd::vecf seen(0.0f);
        for (std::size_t i = begin_of(whole); i < n_pieces_; ++i) seen = seen | load(pieces_[i]);
        alignas(64) std::array<float, lanes> last;
        seen.store_aligned(last.data());
        copy_floats(last.data(), n % lanes, to + whole * lanes);
    }
#endif

    std::size_t stride_ = 1, n_vectors_ = 0, n_pieces_ = 0;
    std::array<std::size_t, max_vectors> ends_;  // (vectors) of their pieces
    std::array<piece, max_pieces> pieces_;
};

/// Copies what the weights' columns see of some output pixels, counted through all images.
class pixel_view {
  public:
    static constexpr std::size_t most = tap_view::max_pixels;

    /// Of the pixels [first, first + n), then of none up to `width`. @pre n <= width <= most
    pixel_view(const window& over, const maps<const float>& x, std::size_t first, std::size_t n,
               std::size_t width) noexcept
        : over_(over), x_(x), width_(width) {
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

    /// to(r)[i] = what pixel i sees by column r of the weights, for i below the width.
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
                    views_[view].copy(&x_(0, c, 0, 0) + below, to(r), width_);
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

    /// What a tap sees: a view, its own or that of one above, which is so many floats before.
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
            std::array<tap_view::piece, tap_view::max_pieces> columns;  // (runs) as if y were 0
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
            pieces[i] = {r.image + seen.at - begin * over_.stride.width,
                         PARE_HAS_SIMD && over_.stride.width == 2 ? spread(bits) : bits};
        }
    }
    void see_rows(std::size_t tap_row, const tap_view::piece* pieces,
                  tap_view& view) const noexcept {
        view.begin(over_.stride.width);
        const std::size_t top = over_.around.top, height = x_.extent(2), width = x_.extent(3);
        std::size_t i = 0;
        for (std::size_t at = 0; at < width_; at += lanes)
            view.add_vector([&](auto&& add) {
                for (; i < n_runs_ && runs_[i].first < at + lanes; ++i) {
                    const std::size_t y = runs_[i].y + tap_row - top;  // huge above the map
                    if (y < height) add(tap_view::piece{pieces[i].at + y * width, pieces[i].lanes});
                }
            });
    }
    // Bit i moves to 2 i.
    static std::uint32_t spread(std::uint32_t bits) noexcept {
        bits = (bits | bits << 8) & 0x00ff00ffu;
        bits = (bits | bits << 4) & 0x0f0f0f0fu;
        bits = (bits | bits << 2) & 0x33333333u;
        return (bits | bits << 1) & 0x55555555u;
    }

    window over_;
    maps<const float> x_;
    std::size_t width_, n_runs_ = 0;
    std::size_t first_y_ = static_cast<std::size_t>(-1), last_y_ = 0;  // of the runs
    std::array<run, tap_view::max_pieces> runs_;
    // Of the taps from looked_ on.
    std::size_t looked_ = static_cast<std::size_t>(-1);
    std::array<source, at_once> sources_;
    std::array<tap_view, at_once> views_;
};

}  // namespace detail

/// What output pixels see, so that a convolution is a product with them: patches (channels *
/// kernel.height * kernel.width, pixels) for the pixels [first, first + patches.cols()), counted
/// through all images, rows in the order of the weights. @pre shapes agree, pixels consecutive
template <executor Executor = serial>
void gather_patches(const window& over, maps<const float> x, std::size_t first,
                    matrix_view<float> patches, Executor&& run = {}) noexcept {
    constexpr std::size_t n_rows = 128, n_cols = detail::pixel_view::most;
    const auto parts = [](std::size_t all, std::size_t of) { return (all + of - 1) / of; };
    const auto least = [](std::size_t a, std::size_t b) { return a < b ? a : b; };
    const std::size_t row_parts = parts(patches.rows(), n_rows);
    const auto take = [&](std::size_t row, std::size_t col) {
        const std::size_t width = least(n_cols, patches.cols() - col);
        detail::pixel_view view(over, x, first + col, width, width);
        view.gather(row, least(row + n_rows, patches.rows()),
                    [&](std::size_t r) { return &patches(r, col); });
    };
    run.parallel_for(row_parts * parts(patches.cols(), n_cols), 1,
                     [&](std::size_t item, std::size_t stop) {
                         for (; item < stop; ++item)
                             take(item % row_parts * n_rows, item / row_parts * n_cols);
                     });
}

}  // namespace pare::kernel::inline PARE_ARCH_NAMESPACE

#endif  // PARE_KERNEL_PATCHES_HPP
