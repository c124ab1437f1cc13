// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_QUANT_CAST_HPP
#define PARE_QUANT_CAST_HPP

#include "../packed/coded.hpp"

#include <concepts>
#include <span>

namespace pare::quant {

// Version 14 does not know noexcept in a requirement:
// clang-format off

/// Turns weights into what is stored: `value_type`. A float type is encoded weight by weight; of a
/// packed::coded type, fit() finds the grid of weights that share one.
template <class C>
concept codec = std::copyable<C> && requires { typename C::value_type; } &&
    (requires(const C& c, float weight) {
         { c.encode(weight) } noexcept -> std::same_as<typename C::value_type>;
     } || requires(const C& c, std::span<const float> weights) {
         requires packed::is_coded<typename C::value_type>;
         { c.fit(weights) } noexcept -> std::same_as<packed::grid>;
     });

// clang-format on

inline namespace PARE_ARCH_NAMESPACE {

/// Stores a weight as the nearest T (ties to even), T = float, f16 or bf16.
template <class T>
struct cast {
    static_assert(float_storage<T>, "cast<T> stores weights as float, pare::f16 or pare::bf16");
    using value_type = T;
    constexpr T encode(float weight) const noexcept { return from_float<T>(weight); }
};

static_assert(codec<cast<f16>>);

}  // namespace PARE_ARCH_NAMESPACE

}  // namespace pare::quant

#endif  // PARE_QUANT_CAST_HPP
