// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_OCTAVE_CROSS_FREQUENCY_PARTIAL_HPP
#define PARE_OCTAVE_CROSS_FREQUENCY_PARTIAL_HPP

#include "../kernel/maps.hpp"
#include "frequencies.hpp"
#include "octave_convolution.hpp"

#include <concepts>
#include <cstddef>
#include <span>

namespace pare::octave::inline PARE_ARCH_NAMESPACE {

/// Makes y of x, maps of the same extents: separable_bottleneck, self_attention. check(x, y) tells
/// all that forward refuses but a workspace smaller than workspace_floats(x.extents()).
template <class S>
concept stage = requires(const S& s, maps<const float> x, maps<float> y, std::span<float> memory,
                         serial run) {
    { s.workspace_floats(x.extents()) } -> std::same_as<std::size_t>;
    { s.check(x, y) } -> std::same_as<status>;
    { s.forward(x, y, memory, run) } -> std::same_as<status>;
};

/// A block in the style of CFPNet, which is C2f with its halves in two resolutions: split x by
/// frequency, take the low part through the stages, let the high one pass by, merge:
///     high, low[0] = split(x),  low[i + 1] = heavy[i](low[i]),  y = merge(high, all of low)
/// After Shin, "Octave-YOLO", arXiv:2407.19746. Ours, for the paper is not public in detail: split
/// and merge are octave convolutions (of 1 x 1, as a rule), merge sees every low[i] side by side as
/// in C2f, and what the stages are made of.
template <packed::known_weights Layout, stage Stage>
    requires packed::layout<Layout>
struct cross_frequency_partial {
    octave_convolution<Layout> split{};  ///< of x as the high part
    std::span<const Stage> heavy{};
    octave_convolution<Layout> merge{};  ///< y is its high part

    /// The floats of workspace that forward() asks for, x (images, channels, height, width).
    std::size_t workspace_floats(const detail::extents& x) const noexcept {
        const auto high = high_of(x), low = low_of(x), all = all_low_of(x);
        const auto no_memory = [](const detail::extents& e) {
            return maps<const float>(nullptr, e);
        };
        const std::size_t splitting = split.workspace_floats({no_memory(x)}),
                          merging = merge.workspace_floats({no_memory(high), no_memory(all)});
        std::size_t most = detail::larger(splitting, merging);
        for (const Stage& s : heavy) most = detail::larger(most, s.workspace_floats(low));
        return detail::product(high) + detail::product(all) + most;
    }

    /// Whether forward() takes x and y, but for the workspace.
    status check(const maps<const float>& x, const maps<float>& y) const noexcept {
        const auto e = x.extents();
        const maps<float> high(nullptr, high_of(e)), low(nullptr, low_of(e)),
            all(nullptr, all_low_of(e));
        if (const status fit = split.check({x}, {high, low}); !fit) return fit;
        for (const Stage& s : heavy)
            if (const status fit = s.check(low, low); !fit) return fit;
        return merge.check({high, all}, {y});
    }

    /// y (images, out_channels, height, width) of x (images, channels, height, width); they must
    /// not overlap. Allocates nothing; the same bits for every executor.
    /// @param workspace  workspace_floats(x.extents())
    /// @return shape_mismatch, invalid_argument, not_contiguous, buffer_too_small; y is then
    /// untouched
    template <executor Executor = serial>
    status forward(const maps<const float>& x, const maps<float>& y, std::span<float> workspace,
                   Executor&& run = {}) const noexcept {
        const auto e = x.extents();
        if (const status fit = check(x, y); !fit) return fit;
        if (workspace.size() < workspace_floats(e)) return detail::no_workspace;
        const maps<float> high = detail::take(workspace, high_of(e)),
                          all = detail::take(workspace, all_low_of(e));
        const std::size_t n = low_of(e)[1];
        const auto low = [&](std::size_t i) { return kernel::detail::part(all, 1, i * n, n); };
        if (const status done = split.forward({x}, {high, low(0)}, workspace, run); !done)
            return done;
        for (std::size_t i = 0; i < heavy.size(); ++i)
            if (const status done = heavy[i].forward(low(i), low(i + 1), workspace, run); !done)
                return done;
        return merge.forward({high, all}, {y}, workspace, run);
    }

  private:
    detail::extents high_of(const detail::extents& x) const noexcept {
        return detail::outputs(split.over, x, split.high_to_high.rows);
    }
    detail::extents low_of(const detail::extents& x) const noexcept {
        const auto high = high_of(x);
        const extent_2d low = halved({high[2], high[3]});
        return {x[0], split.high_to_low.rows, low.height, low.width};
    }
    detail::extents all_low_of(const detail::extents& x) const noexcept {
        auto low = low_of(x);
        low[1] *= 1 + heavy.size();
        return low;
    }
};

}  // namespace pare::octave::inline PARE_ARCH_NAMESPACE

#endif  // PARE_OCTAVE_CROSS_FREQUENCY_PARTIAL_HPP
