// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KV_CODES_HPP
#define PARE_KV_CODES_HPP

#include "../core/dtype.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace pare::kv::inline PARE_ARCH_NAMESPACE {

namespace detail {

// What the codes of i8 and i4 stand for: x = scale * code + minimum.
struct affine {
    f16 scale, minimum;
};

// The half above (1) or below (-1) a finite one that is not the largest.
inline f16 next(f16 x, int direction) noexcept {
    if ((x.bits & 0x7fff) == 0)
        return {static_cast<std::uint16_t>(direction > 0 ? 0x0001 : 0x8001)};
    const bool away = (x.bits >> 15) == (direction < 0 ? 1 : 0);
    return {static_cast<std::uint16_t>(away ? x.bits + 1 : x.bits - 1)};
}

// Loops of so many steps without a branch become vector code.
inline constexpr std::size_t at_once = 16;

// Scale and minimum that map `numbers` to codes in [0, levels]. Decided by comparisons that a NaN
// fails, so that any input gives numbers that decode.
inline affine fit(std::span<const float> numbers, float levels) noexcept {
    std::array<float, at_once> low, high;
    low.fill(65504.0f), high.fill(-65504.0f);
    const auto see = [&](std::size_t l, float x) {
        low[l] = x < low[l] ? x : low[l];
        high[l] = x > high[l] ? x : high[l];
    };
    std::size_t i = 0;
    for (; i + at_once <= numbers.size(); i += at_once)
        for (std::size_t l = 0; l < at_once; ++l) see(l, numbers[i + l]);
    for (; i < numbers.size(); ++i) see(0, numbers[i]);
    float least = low[0], most = high[0];
    for (std::size_t l = 1; l < at_once; ++l) {
        if (low[l] < least) least = low[l];
        if (high[l] > most) most = high[l];
    }
    if (least < -65504.0f) least = -65504.0f;
    if (most > 65504.0f) most = 65504.0f;
    if (!(least <= most)) least = most = 0.0f;
    // Rounded outwards, the minimum down and the scale up, so that no number is cut.
    f16 minimum = from_float<f16>(least);
    if (to_float(minimum) > least) minimum = next(minimum, -1);
    const float range = most - to_float(minimum);
    f16 scale = from_float<f16>(range > 0.0f ? range / levels : 0.0f);
    if (to_float(scale) * levels < range) scale = next(scale, 1);
    return {scale, minimum};
}

inline unsigned code_of(float x, affine a, unsigned levels) noexcept {
    const float scale = to_float(a.scale), most = static_cast<float>(levels);
    float code = scale > 0.0f ? (x - to_float(a.minimum)) / scale + 0.5f : 0.0f;
    code = code > 0.0f ? code : 0.0f;
    return static_cast<unsigned>(static_cast<int>(code < most ? code : most));
}

inline float decode(unsigned code, affine a) noexcept {
    return to_float(a.scale) * static_cast<float>(code) + to_float(a.minimum);
}

}  // namespace detail

}  // namespace pare::kv::inline PARE_ARCH_NAMESPACE

#endif  // PARE_KV_CODES_HPP
