// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_QUANT_SCALE_RULE_HPP
#define PARE_QUANT_SCALE_RULE_HPP

#include "../packed/coded.hpp"

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>

namespace pare::quant {

/// The numbers that codes are spread over; what lies beyond is stored as the nearest end. It holds
/// 0, so that 0 is stored exactly.
struct range {
    float low = 0.0f, high = 0.0f;
};

inline namespace PARE_ARCH_NAMESPACE {

/// The grid of a stored type whose codes cover a range, from end to end where it is asymmetric. Its
/// scale is rounded up to bf16, so the range stays covered.
template <class T>
constexpr packed::grid grid_over(const range& r) noexcept {
    const float high = r.high > 0.0f ? r.high : 0.0f, low = r.low < 0.0f ? r.low : 0.0f;
    const auto scale_of = [](float exact) {
        const auto word = std::bit_cast<std::uint32_t>(exact);
        return std::bit_cast<float>((word + 0xffffu) & 0xffff0000u);
    };
    constexpr float least_scale = 0x1p-100f;  // what is smaller is 0
    packed::grid made;
    if constexpr (T::asymmetric) {
        constexpr auto least = static_cast<float>(T::code::least);
        made.scale = scale_of(high / (T::code::largest - least) - low / (T::code::largest - least));
        if (!(made.scale > least_scale)) return {};
        made.zero = T::code::nearest(least - low / made.scale, least);
    } else {
        const float size = -low > high ? -low : high;
        made.scale = scale_of(size / T::code::largest);
        if (!(made.scale > least_scale)) return {};
    }
    return made;
}

/// From the least to the largest weight.
struct absmax {
    static range of(std::span<const float> weights) noexcept {
        range r;
        for (const float w : weights) {
            if (w < r.low) r.low = w;
            if (w > r.high) r.high = w;
        }
        return r;
    }
    template <class T>
    packed::grid fit(std::span<const float> weights) const noexcept {
        return grid_over<T>(of(weights));
    }
};

/// The range, of those that are the whole one cut to down to `least` of it, whose codes are nearest
/// to the weights in the mean square.
struct mse {
    float least = 0.5f;  ///< share of the range, in (0, 1]
    int steps = 50;      ///< shares tried, at equal distances

    template <class T>
    packed::grid fit(std::span<const float> weights) const noexcept {
        const range whole = absmax::of(weights);
        packed::grid best = grid_over<T>(whole);
        double best_error = error_of<T>(weights, best);
        for (int i = 1; i <= steps; ++i) {
            const float share =
                1.0f - (1.0f - least) * static_cast<float>(i) / static_cast<float>(steps);
            const packed::grid cut = grid_over<T>({whole.low * share, whole.high * share});
            const double error = error_of<T>(weights, cut);
            if (error < best_error) best_error = error, best = cut;
        }
        return best;
    }

  private:
    template <class T>
    static double error_of(std::span<const float> weights, const packed::grid& of) noexcept {
        double sum = 0.0;
        for (const float w : weights) {
            const auto d = static_cast<double>(w - T::weight(T::encode(w, of), of));
            sum += d * d;
        }
        return sum;
    }
};

/// A range that the share `of` of the weights that are not 0 lies within, by size: the largest are
/// cut. Zeros do not count, for some layouts store them where nothing is kept.
struct percentile {
    float of = 0.999f;  ///< in (0, 1]

    template <class T>
    packed::grid fit(std::span<const float> weights) const noexcept {
        // The bits of a float that is not negative are in its order: the size that `of` of them do
        // not exceed is found bit by bit.
        const auto below = [&](std::uint32_t end) {
            std::size_t n = 0;
            for (const float w : weights) {
                const std::uint32_t size = std::bit_cast<std::uint32_t>(w) & 0x7fffffffu;
                n += 0 < size && size < end;
            }
            return static_cast<double>(n);
        };
        const double wanted = static_cast<double>(of) * below(0x80000000u);
        std::uint32_t limit = 0;
        for (std::uint32_t bit = 1u << 30; bit != 0; bit >>= 1)
            if (below(limit | bit) < wanted) limit |= bit;
        const float most = std::bit_cast<float>(limit);
        range r = absmax::of(weights);
        if (r.low < -most) r.low = -most;
        if (r.high > most) r.high = most;
        return grid_over<T>(r);
    }
};

}  // namespace PARE_ARCH_NAMESPACE

/// How the numbers that weights are divided by follow from them: fit<T>(weights) gives the grid of
/// weights that share one, T a packed::coded.
template <class R>
concept scale_rule = std::copyable<R> && requires(const R& rule, std::span<const float> weights) {
    { rule.template fit<packed::coded<code_i8>>(weights) } -> std::same_as<packed::grid>;
};

static_assert(scale_rule<absmax> && scale_rule<mse> && scale_rule<percentile>);

}  // namespace pare::quant

#endif  // PARE_QUANT_SCALE_RULE_HPP
