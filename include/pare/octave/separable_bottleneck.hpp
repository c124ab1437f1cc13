// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_OCTAVE_SEPARABLE_BOTTLENECK_HPP
#define PARE_OCTAVE_SEPARABLE_BOTTLENECK_HPP

#include "resample.hpp"
#include "separable_convolution.hpp"

#include <cstddef>
#include <span>

namespace pare::octave::inline PARE_ARCH_NAMESPACE {

/// YOLOv8's bottleneck of depthwise-separable convolutions: y = x + second(first(x)), or without
/// x. That either of its two 3 x 3 convolutions becomes a separable one is our reading of Shin,
/// "Octave-YOLO", arXiv:2407.19746.
template <packed::known_weights Layout>
    requires packed::layout<Layout>
struct separable_bottleneck {
    separable_convolution<Layout> first{}, second{};
    bool shortcut = true;

    /// The floats of workspace that forward() asks for, x (images, channels, height, width).
    std::size_t workspace_floats(const detail::extents& x) const noexcept {
        const auto middle = middle_of(x);
        return detail::product(middle) +
               detail::larger(first.workspace_floats(x), second.workspace_floats(middle));
    }

    /// Whether forward() takes x and y, but for the workspace.
    status check(const maps<const float>& x, const maps<float>& y) const noexcept {
        const maps<float> middle(nullptr, middle_of(x.extents()));
        if (const status fit = first.check(x, middle); !fit) return fit;
        if (shortcut && !detail::are_equal(x.extents(), y.extents()))
            return error{errc::shape_mismatch, "separable_bottleneck: x is added to another y"};
        return second.check(middle, y);
    }

    /// y of x (images, channels, height, width); they must not overlap. Allocates nothing; the same
    /// bits for every executor.
    /// @param workspace  workspace_floats(x.extents())
    /// @return as separable_convolution; y is then untouched
    template <executor Executor = serial>
    status forward(const maps<const float>& x, const maps<float>& y, std::span<float> workspace,
                   Executor&& run = {}) const noexcept {
        if (const status fit = check(x, y); !fit) return fit;
        if (workspace.size() < workspace_floats(x.extents())) return detail::no_workspace;
        const maps<float> middle = detail::take(workspace, middle_of(x.extents()));
        if (const status done = first.forward(x, middle, workspace, run); !done) return done;
        if (const status done = second.forward(middle, y, workspace, run); !done) return done;
        if (shortcut) add<1>(x, y, activation::none, run);
        return {};
    }

  private:
    detail::extents middle_of(const detail::extents& x) const noexcept {
        return detail::outputs(first.over, x, first.pointwise.rows);
    }
};

}  // namespace pare::octave::inline PARE_ARCH_NAMESPACE

#endif  // PARE_OCTAVE_SEPARABLE_BOTTLENECK_HPP
