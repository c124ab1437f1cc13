// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_ALLOCATE_PRE_CROPPING_HPP
#define PARE_ALLOCATE_PRE_CROPPING_HPP

#include "../core/buffer.hpp"
#include "../core/dtype.hpp"

#include <cmath>
#include <cstddef>
#include <span>

namespace pare::allocate {

/// The channels that layers share: of one layer's output, or of a whole residual stream.
struct width {
    std::size_t channels;
    bool fixed = false;  ///< inputs and outputs of the model
};

/// A layer of taps weights for each pair of an input and an output channel, which are given as
/// places in a list of widths: the same place within a residual stream. A depthwise one has one
/// width, and taps weights a channel.
struct cropped_layer {
    std::size_t from, to;
    std::size_t taps;
    double density;  ///< share of the weights that should stay, in (0, 1]
    bool depthwise = false;
};

inline namespace PARE_ARCH_NAMESPACE {

/// Widths at which layers have the densities that pruning of single weights would give them,
/// before training say, by SynFlow. After Cai et al., "Structured Pruning is All You Need for
/// Pruning CNNs at Initialization", arXiv:2203.02549, of which we know that much.
///
/// How densities become widths is ours: a layer asks sqrt(density) of either side, density of one
/// side where the other is fixed or the layer depthwise; a width is the geometric mean of what its
/// layers ask, each with the weight of its size; and the shares to one power, the least, are such
/// that the model keeps no more weights than the densities say, unless the narrowest widths do.
struct pre_cropping {
    std::size_t multiple = 1;  ///< channels are a multiple of it where as many are there

    /// kept (widths): the channels that stay, at least one. @return shape_mismatch, out_of_memory;
    /// invalid_argument, with its number, for a layer whose density is outside (0, 1], that names
    /// no width, or two where it is depthwise; and for a multiple of 0
    status crop(std::span<const width> widths, std::span<const cropped_layer> layers,
                std::span<std::size_t> kept) const noexcept;

  private:
    static double weights(const cropped_layer& l, auto&& channels) noexcept {
        const auto taps = static_cast<double>(l.taps), in = static_cast<double>(channels(l.from));
        return l.depthwise ? taps * in : taps * in * static_cast<double>(channels(l.to));
    }
    std::size_t rounded(const width& w, double share) const noexcept;
};

inline std::size_t pre_cropping::rounded(const width& w, double share) const noexcept {
    const auto step = static_cast<double>(multiple);
    const double steps = std::floor(share * static_cast<double>(w.channels) / step + 0.5);
    const std::size_t n = multiple * (steps < 1.0 ? 1 : static_cast<std::size_t>(steps));
    return w.fixed || n > w.channels ? w.channels : n;
}

inline status pre_cropping::crop(std::span<const width> widths,
                                 std::span<const cropped_layer> layers,
                                 std::span<std::size_t> kept) const noexcept {
    if (kept.size() != widths.size())
        return error{errc::shape_mismatch, "pre_cropping: one number of channels per width"};
    if (multiple == 0) return error{errc::invalid_argument, "pre_cropping: a multiple of 0"};
    for (std::size_t i = 0; i < layers.size(); ++i) {
        const cropped_layer& l = layers[i];
        if (l.from >= widths.size() || l.to >= widths.size() || (l.depthwise && l.from != l.to) ||
            !is_finite(l.density) || !(l.density > 0.0 && l.density <= 1.0))
            return error{errc::invalid_argument, "pre_cropping: a layer without widths or density",
                         i};
    }
    auto memory = buffer<double>::make(2 * widths.size());
    if (!memory) return memory.error();
    const auto asked = memory->span().first(widths.size()),  // logarithms of shares, by size
        votes = memory->span().last(widths.size());
    double target = 0.0;
    for (const cropped_layer& l : layers) {
        const double size = weights(l, [&](std::size_t w) { return widths[w].channels; });
        const bool alone = l.depthwise || widths[l.from].fixed || widths[l.to].fixed;
        const double share = std::log(l.density) * (alone ? 1.0 : 0.5);
        target += l.density * size;
        const auto vote = [&](std::size_t side) {
            asked[side] += size * share;
            votes[side] += size;
        };
        vote(l.from);
        if (l.to != l.from) vote(l.to);
    }
    const auto crop_to = [&](double power) {
        double left = 0.0;
        for (std::size_t w = 0; w < widths.size(); ++w)
            kept[w] =
                rounded(widths[w], votes[w] > 0.0 ? std::exp(power * asked[w] / votes[w]) : 1.0);
        for (const cropped_layer& l : layers)
            left += weights(l, [&](std::size_t w) { return kept[w]; });
        return left;
    };
    double low = 0.0, high = 1.0;
    for (int i = 0; i < 20 && crop_to(high) > target; ++i) high *= 2.0;
    for (int i = 0; i < 50; ++i) {
        const double middle = 0.5 * (low + high);
        (crop_to(middle) > target ? low : high) = middle;
    }
    crop_to(high);
    return {};
}

}  // namespace PARE_ARCH_NAMESPACE

}  // namespace pare::allocate

#endif  // PARE_ALLOCATE_PRE_CROPPING_HPP
