// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_QUANT_SCALED_HPP
#define PARE_QUANT_SCALED_HPP

#include "../packed/coded.hpp"
#include "cast.hpp"
#include "scale_rule.hpp"

#include <concepts>
#include <cstddef>
#include <span>
#include <type_traits>

namespace pare::quant {

/// Which kept weights of a matrix share a scale: all, those of an output channel, or G consecutive
/// ones of it (of blocks: those of G consecutive columns), G of 32, 64, 128, ...
struct per_tensor {
    static constexpr std::size_t group = 0;
};
struct per_channel {
    static constexpr std::size_t group = 0;
};
template <std::size_t G>
struct per_group {
    static_assert(G >= 32 && 1024 % G == 0, "groups are of 32, 64, 128, ... weights");
    static constexpr std::size_t group = G;
};

template <class G>
concept granularity = requires {
    { G::group } -> std::convertible_to<std::size_t>;
};

inline namespace PARE_ARCH_NAMESPACE {

/// Stores a weight as the code nearest to it on the grid of those that share its scale: a code, a
/// granularity and a scale rule, each an axis of its own.
template <weight_code Code, granularity Granularity = per_channel, scale_rule Rule = absmax,
          bool Asymmetric = false>
struct scaled {
    using value_type = packed::coded<Code, Granularity::group, Asymmetric>;
    static constexpr bool whole_tensor = std::is_same_v<Granularity, per_tensor>;

    Rule rule{};

    packed::grid fit(std::span<const float> weights) const noexcept {
        return rule.template fit<value_type>(weights);
    }
};

}  // namespace PARE_ARCH_NAMESPACE

template <granularity G = per_channel, scale_rule R = absmax>
using int8 = scaled<code_i8, G, R>;
template <granularity G = per_channel, scale_rule R = absmax>
using int4 = scaled<code_i4, G, R>;
template <granularity G = per_channel, scale_rule R = absmax>
using int2 = scaled<code_i2, G, R>;
/// With a zero point.
template <granularity G = per_channel, scale_rule R = absmax>
using uint8 = scaled<code_i8, G, R, true>;
template <granularity G = per_channel, scale_rule R = absmax>
using uint4 = scaled<code_i4, G, R, true>;
template <granularity G = per_channel, scale_rule R = absmax>
using uint2 = scaled<code_i2, G, R, true>;
template <granularity G = per_channel, scale_rule R = absmax>
using nf4 = scaled<code_nf4, G, R>;
template <granularity G = per_channel, scale_rule R = absmax>
using e4m3 = scaled<code_e4m3, G, R>;
template <granularity G = per_channel, scale_rule R = absmax>
using e5m2 = scaled<code_e5m2, G, R>;

static_assert(codec<int8<>> && codec<nf4<per_group<64>>>);

}  // namespace pare::quant

#endif  // PARE_QUANT_SCALED_HPP
