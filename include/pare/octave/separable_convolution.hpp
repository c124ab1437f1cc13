// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_OCTAVE_SEPARABLE_CONVOLUTION_HPP
#define PARE_OCTAVE_SEPARABLE_CONVOLUTION_HPP

#include "../kernel/convolution.hpp"
#include "../kernel/depthwise.hpp"
#include "frequencies.hpp"

#include <cstddef>
#include <span>

namespace pare::octave::inline PARE_ARCH_NAMESPACE {

/// A depthwise convolution, which alone changes the resolution, then one of 1 x 1, which alone
/// changes the number of channels. With stride 2 it is the down-sampling of Shin, "Octave-YOLO",
/// arXiv:2407.19746; the order of the two steps is our choice, the cheaper one.
template <packed::known_weights Layout>
    requires packed::layout<Layout>
struct separable_convolution {
    window over{};                       ///< of the filters
    matrix_view<const float> filters{};  ///< (channels, kernel.height * kernel.width)
    epilogue between{};                  ///< after the filters
    Layout pointwise{};                  ///< (out_channels, channels)
    epilogue after{};

    /// The floats of workspace that forward() asks for, x (images, channels, height, width).
    std::size_t workspace_floats(const detail::extents& x) const noexcept {
        return detail::product(detail::outputs(over, x, x[1]));
    }

    /// Whether forward() takes x and y, but for the workspace.
    status check(const maps<const float>& x, const maps<float>& y) const noexcept {
        const auto middle = detail::outputs(over, x.extents(), x.extent(1));
        if (filters.rows() != x.extent(1) || !fits(between, filters.rows()))
            return error{errc::shape_mismatch,
                         "separable_convolution: one filter, bias and scale per channel of x"};
        if (filters.col_stride() != 1)
            return error{errc::not_contiguous, "separable_convolution: rows of filters"};
        const status filtered =
            kernel::detail::check_maps(over, x, maps<float>(nullptr, middle), 1, filters.cols());
        if (!filtered) return filtered;
        return detail::check_path(pointwise, {}, maps<const float>(nullptr, middle), y, after);
    }

    /// y (images, out_channels, height, width) of x (images, channels, height, width); they must
    /// not overlap. Allocates nothing; the same bits for every executor.
    /// @param workspace  workspace_floats(x.extents())
    /// @return shape_mismatch, invalid_argument, not_contiguous, buffer_too_small; y is then
    /// untouched
    template <executor Executor = serial>
    status forward(const maps<const float>& x, const maps<float>& y, std::span<float> workspace,
                   Executor&& run = {}) const noexcept {
        if (const status fit = check(x, y); !fit) return fit;
        if (workspace.size() < workspace_floats(x.extents())) return detail::no_workspace;
        const maps<float> middle =
            detail::take(workspace, detail::outputs(over, x.extents(), x.extent(1)));
        if (const status done = convolve_depthwise(filters, over, x, middle, run, between); !done)
            return done;
        return kernel::convolve(pointwise, {}, middle, y, {}, run, after);
    }
};

}  // namespace pare::octave::inline PARE_ARCH_NAMESPACE

#endif  // PARE_OCTAVE_SEPARABLE_CONVOLUTION_HPP
