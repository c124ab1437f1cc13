// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_OCTAVE_OCTAVE_CONVOLUTION_HPP
#define PARE_OCTAVE_OCTAVE_CONVOLUTION_HPP

#include "../kernel/convolution.hpp"
#include "frequencies.hpp"
#include "resample.hpp"

#include <cstddef>
#include <span>

namespace pare::octave::inline PARE_ARCH_NAMESPACE {

/// A convolution of maps in two frequencies, to maps in two frequencies:
///     high = after_high(high_to_high(x.high) + upsample(low_to_high(x.low)))
///     low  = after_low(low_to_low(x.low) + high_to_low(average_pool(x.high)))
/// up-sampled to the nearest. Chen et al., "Drop an Octave", arXiv:1904.05049. The weights are
/// packed, (out, in * kernel) each, under the same window; those of a path between channels that
/// are not there are left out: low_to_* in a first layer, *_to_low in a last one, all but
/// high_to_high where alpha is 0, which is a plain convolution.
/// Odd sizes: see average_pool() and add() (our reading). Of equal alpha in and out, a share
/// 1 - 3/4 alpha (2 - alpha) of the multiply-adds of a plain convolution.
template <packed::known_weights Layout>
    requires packed::layout<Layout>
struct octave_convolution {
    window over{};
    Layout high_to_high{}, low_to_high{}, high_to_low{}, low_to_low{};
    epilogue after_high{}, after_low{};

    /// The floats of workspace that forward() asks for.
    std::size_t workspace_floats(const frequencies<const float>& x) const noexcept {
        if (kernel::detail::area(over.stride) == 0) return 0;
        const detail::extents high = x.high.extents(), low = x.low.extents(),
                              pooled = pooled_of(high);
        std::size_t most = 0;
        const auto count = [&](const Layout& w, const detail::extents& from, std::size_t before) {
            if (w.rows > 0)
                most = detail::larger(most, before + kernel::workspace_floats(over, from));
        };
        count(high_to_high, high, 0);
        count(low_to_high, low, detail::product(detail::outputs(over, low, low_to_high.rows)));
        count(low_to_low, low, 0);
        count(high_to_low, pooled,
              detail::product(pooled) +
                  detail::product(detail::outputs(over, pooled, high_to_low.rows)));
        return most;
    }

    /// Whether forward() takes x and y, but for the workspace.
    status check(const frequencies<const float>& x, const frequencies<float>& y) const noexcept {
        if (x.high.extent(1) + x.low.extent(1) == 0 && y.high.extent(1) + y.low.extent(1) > 0)
            return error{errc::shape_mismatch, "octave_convolution: outputs of no channels"};
        const maps<const float> pooled(nullptr, pooled_of(x.high.extents()));
        const maps<float> added(nullptr, detail::outputs(over, x.low.extents(), y.high.extent(1)));
        for (const status& fit :
             {detail::check_path(high_to_high, over, x.high, y.high, after_high),
              detail::check_path(low_to_high, over, x.low, added, after_high),
              detail::check_path(high_to_low, over, pooled, y.low, after_low),
              detail::check_path(low_to_low, over, x.low, y.low, after_low)})
            if (!fit) return fit;
        if (!are_halves(x.low, x.high) || !are_halves(y.low, y.high) ||
            (x.low.extent(1) > 0 && !are_halves(added, y.high)))
            return error{errc::shape_mismatch, "octave_convolution: low maps are halves of high"};
        if ((x.high.extent(1) > 0 && !kernel::detail::has_whole_maps(x.high)) ||
            (y.high.extent(1) > 0 && !kernel::detail::has_whole_maps(y.high)))
            return error{errc::not_contiguous, "octave_convolution: pixels of high maps"};
        return {};
    }

    /// y of x; they must not overlap. Allocates nothing; the same bits for every executor.
    /// @param workspace  workspace_floats(x)
    /// @return shape_mismatch, invalid_argument, not_contiguous, buffer_too_small; y is then
    /// untouched
    template <executor Executor = serial>
    status forward(const frequencies<const float>& x, const frequencies<float>& y,
                   std::span<float> workspace, Executor&& run = {}) const noexcept {
        if (const status fit = check(x, y); !fit) return fit;
        if (workspace.size() < workspace_floats(x)) return detail::no_workspace;
        make_high(x, y.high, workspace, run);
        make_low(x, y.low, workspace, run);
        return {};
    }

  private:
    static bool are_halves(const maps<const float>& low, const maps<const float>& high) noexcept {
        using kernel::detail::map_of;
        return low.extent(1) == 0 || high.extent(1) == 0 ||
               (low.extent(0) == high.extent(0) && map_of(low) == halved(map_of(high)));
    }
    static detail::extents pooled_of(const detail::extents& high) noexcept {
        const extent_2d low = halved({high[2], high[3]});
        return {high[0], high[1], low.height, low.width};
    }
    void convolve(const Layout& w, const maps<const float>& from, const maps<float>& to,
                  std::span<float> workspace, auto& run, const epilogue& after) const noexcept {
        [[maybe_unused]] const status done =
            kernel::convolve(w, over, from, to, workspace, run, after);
        PARE_ASSERT(done, "check() has seen what convolve sees");
    }
    // after, of a sum of which this is the first term; and of what is then added.
    static epilogue without_activation(const epilogue& after) noexcept {
        return {after.bias, after.scale, activation::none};
    }
    static epilogue scale_alone(const epilogue& after) noexcept { return {{}, after.scale}; }

    void make_high(const frequencies<const float>& x, const maps<float>& y, std::span<float> memory,
                   auto& run) const noexcept {
        if (low_to_high.rows == 0) {
            if (high_to_high.rows > 0) convolve(high_to_high, x.high, y, memory, run, after_high);
            return;
        }
        const bool alone = high_to_high.rows == 0;
        if (!alone) convolve(high_to_high, x.high, y, memory, run, without_activation(after_high));
        const maps<float> low =
            detail::take(memory, detail::outputs(over, x.low.extents(), y.extent(1)));
        convolve(low_to_high, x.low, low, memory, run,
                 alone ? without_activation(after_high) : scale_alone(after_high));
        if (alone)
            detail::for_each_map(y, run, [&](std::size_t image, std::size_t c) {
                kernel::detail::fill_zeros(&y(image, c, 0, 0), y.extent(2) * y.extent(3));
            });
        add<2>(low, y, after_high.then, run);
    }
    void make_low(const frequencies<const float>& x, const maps<float>& y, std::span<float> memory,
                  auto& run) const noexcept {
        if (high_to_low.rows == 0) {
            if (low_to_low.rows > 0) convolve(low_to_low, x.low, y, memory, run, after_low);
            return;
        }
        if (low_to_low.rows > 0)
            convolve(low_to_low, x.low, y, memory, run, without_activation(after_low));
        const maps<float> pooled = detail::take(memory, pooled_of(x.high.extents()));
        average_pool(x.high, pooled, run);
        if (low_to_low.rows == 0) return convolve(high_to_low, pooled, y, memory, run, after_low);
        const maps<float> more =
            detail::take(memory, detail::outputs(over, pooled.extents(), y.extent(1)));
        convolve(high_to_low, pooled, more, memory, run, scale_alone(after_low));
        add<1>(more, y, after_low.then, run);
    }
};

}  // namespace pare::octave::inline PARE_ARCH_NAMESPACE

#endif  // PARE_OCTAVE_OCTAVE_CONVOLUTION_HPP
