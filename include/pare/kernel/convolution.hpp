// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KERNEL_CONVOLUTION_HPP
#define PARE_KERNEL_CONVOLUTION_HPP

#include "../core/executor.hpp"
#include "../core/status.hpp"
#include "../packed/concepts.hpp"
#include "epilogue.hpp"
#include "gemm.hpp"
#include "maps.hpp"
#include "patches.hpp"
#include "shifted_maps.hpp"

#include <array>
#include <cstddef>
#include <span>
#include <type_traits>

namespace pare::kernel::inline PARE_ARCH_NAMESPACE {
namespace detail {

/// Every output pixel sees one input pixel, its own.
inline bool is_pointwise(const window& over) noexcept {
    return area(over.kernel) == 1 && area(over.stride) == 1;  // then there are no zeros either
}

/// Output pixels whose patches are in memory together: whole panels of gemm, and of the
/// second-level cache 256 KiB where that is as much as one panel.
inline std::size_t pixels_of_tile(std::size_t patch, std::size_t pixels) noexcept {
    constexpr std::size_t panel = 64, floats = 64 * 1024;
    const std::size_t fit = floats / patch < panel ? panel : floats / patch / panel * panel;
    return fit < pixels ? fit : pixels;
}

}  // namespace detail

/// The floats of workspace that convolve() asks for, x (images, channels, height, width); none for
/// a kernel of one pixel and stride 1. @pre the window fits x
inline std::size_t workspace_floats(const window& over,
                                    const std::array<std::size_t, 4>& x) noexcept {
    if (detail::is_pointwise(over)) return 0;
    const std::size_t patch = x[1] * detail::area(over.kernel);
    const std::size_t pixels = x[0] * detail::area(over.outputs({x[2], x[3]}));
    return patch == 0 ? 0 : patch * detail::pixels_of_tile(patch, pixels);
}

namespace detail {

template <packed::known_weights Weights>
void multiply(const Weights& weights, matrix_view<const float> x, matrix_view<float> y, auto& run,
              const epilogue& after) noexcept {
    [[maybe_unused]] const status done = gemm(weights, x.transposed(), y.transposed(), run, after);
    PARE_ASSERT(done, "convolve has checked what gemm checks");
}

#if PARE_HAS_SIMD
/// Panels of output pixels, of what a window sees of x.
struct packed_pixels {
    const window& over;
    const maps<const float>& x;

    /// As packed_tokens'.
    template <std::size_t Tokens>
    auto panel(std::size_t first, std::size_t n) const noexcept {
        return [view = pixel_view(over, x, first, n, Tokens)](std::size_t k, std::size_t n_cols,
                                                              float* panel) mutable {
            view.gather(k, k + n_cols,
                        [&](std::size_t column) { return panel + (column - k) * Tokens; });
        };
    }
};
#endif

/// Images whose outputs lie side by side.
template <packed::known_weights Weights, class Executor>
void convolve_together(const Weights& weights, const window& over, const maps<const float>& x,
                       const maps<float>& y, std::span<float> workspace, Executor& run,
                       const epilogue& after) noexcept {
    const matrix_view<float> out = as_matrix(y);
    if (is_pointwise(over)) return multiply(weights, as_matrix(x), out, run, after);
#if PARE_HAS_SIMD
    if constexpr (packed::n_m_weights<Weights>)
        if (out.cols() > few_tokens)
            return multiply_panels(weights.view(), packed_pixels{over, x}, out.transposed(), after,
                                   run);
    if constexpr (packed::block_weights<Weights>) {
        const std::size_t part = workspace_floats(over, x.extents());
        const shifted_maps shifts(over, x, part);
        if (shifts.serve())
            return convolve_shifted(weights.view(), shifts, x, y, workspace, part, run, after);
    }
#endif
    const std::size_t patch = weights.view().cols, pixels = pixels_of_tile(patch, out.cols());
    const std::size_t tiles = (out.cols() + pixels - 1) / pixels;
    const auto take = [&](std::size_t first, std::size_t step, auto& with) {
        float* const memory = workspace.data() + first * patch * pixels;
        for (std::size_t p = first * pixels; p < out.cols(); p += step * pixels) {
            const std::size_t n = out.cols() - p < pixels ? out.cols() - p : pixels;
            const matrix_view<float> patches(memory, patch, n);
            gather_patches(over, x, p, patches, with);
            multiply(weights, patches, out.block(0, p, out.rows(), n), with, after);
        }
    };
    const std::size_t fit = workspace.size() / (patch * pixels),
                      at_once = fit < tiles ? fit : tiles;
    if (std::is_same_v<std::remove_cv_t<Executor>, serial> || at_once == 1) return take(0, 1, run);
    run.parallel_for(at_once, 1, [&](std::size_t begin, std::size_t end) {
        serial alone;
        for (; begin < end; ++begin) take(begin, at_once, alone);
    });
}

}  // namespace detail

/// y (images, out_channels, height, width) = what packed weights W (out_channels, channels *
/// kernel.height * kernel.width), flattened as OIHW, make of x (images, channels, height, width),
/// finished by the epilogue. In groups: the g-th W makes the g-th of equal parts of y's channels of
/// the g-th of x's. y must overlap nothing else.
///
/// A kernel of one pixel with stride 1 multiplies the maps as they lie. Any other gathers patches:
/// for N:M weights those of 64 output pixels, on the stack (but 12 pixels and fewer, and without
/// SIMD); for others those of a tile of pixels, in the workspace, tile after tile. Block weights of
/// stride 1 read shifted maps instead, where rows of y are whole vectors. `run` shares out each
/// product; or tiles, as many at once as the workspace holds, where that is more than one.
/// Allocates nothing; stack as gemm() and 24 KiB. The same bits for every executor, thread count
/// and workspace.
/// @param workspace  workspace_floats() of a group, or a multiple; asked for whatever the weights
/// @return invalid_argument, shape_mismatch, not_contiguous, buffer_too_small; y is then untouched
template <packed::known_weights Weights, executor Executor = serial>
status convolve(std::span<const Weights> groups, const window& over, maps<const float> x,
                maps<float> y, std::span<float> workspace, Executor&& run = {},
                const epilogue& after = {}) noexcept {
    if (groups.empty() || x.extent(1) % groups.size() != 0 || y.extent(1) % groups.size() != 0)
        return error{errc::shape_mismatch, "convolve: channels are no multiple of the groups"};
    const std::size_t in = x.extent(1) / groups.size(), out = y.extent(1) / groups.size();
    for (const Weights& weights : groups) {
        const auto& w = weights.view();
        if (const status fit = detail::check_maps(over, x, y, in, w.cols); !fit) return fit;
        if (w.rows != out)
            return error{errc::shape_mismatch, "convolve: y has other channels than W"};
    }
    if (!fits(after, y.extent(1)))
        return error{errc::shape_mismatch, "convolve: one bias and one scale per output channel"};
    if (workspace.size() < workspace_floats(over, {x.extent(0), in, x.extent(2), x.extent(3)}))
        return error{errc::buffer_too_small, "convolve: the workspace holds no tile of patches"};
    if (y.empty()) return {};

    const bool together =
        detail::is_side_by_side(y) && (!detail::is_pointwise(over) || detail::is_side_by_side(x));
    const std::size_t n = together ? x.extent(0) : 1;
    for (std::size_t i = 0; i < x.extent(0); i += n)
        for (std::size_t g = 0; g < groups.size(); ++g)
            detail::convolve_together(groups[g], over,
                                      detail::part(detail::part(x, 0, i, n), 1, g * in, in),
                                      detail::part(detail::part(y, 0, i, n), 1, g * out, out),
                                      workspace, run, part_of(after, g * out, out));
    return {};
}

/// One group.
template <packed::known_weights Weights, executor Executor = serial>
status convolve(const Weights& weights, const window& over, maps<const float> x, maps<float> y,
                std::span<float> workspace, Executor&& run = {},
                const epilogue& after = {}) noexcept {
    return convolve(std::span(&weights, 1), over, x, y, workspace, run, after);
}

}  // namespace pare::kernel::inline PARE_ARCH_NAMESPACE

namespace pare {
using kernel::convolve;
using kernel::workspace_floats;
}  // namespace pare

#endif  // PARE_KERNEL_CONVOLUTION_HPP
