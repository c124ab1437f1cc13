// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_COMMON_MATH_HPP
#define PARE_EXAMPLES_COMMON_MATH_HPP

#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

// Straight loops that compilers vectorise without -ffast-math: reductions keep 16 partial results
// of their own, in the same order on every machine.

namespace tools {

/// e^x within 2 units in the last place, for x in [-87, 88]; clamped outside. Cody and Waite's
/// reduction to |r| <= ln(2)/2, then a polynomial (Cephes expf).
inline float fast_exp(float x) {
    x = x < -87.0f ? -87.0f : x;
    x = x > 88.0f ? 88.0f : x;
    constexpr float rounder = 0x1.8p23f;  // adding it leaves the rounded integer in the low bits
    const float shifted = x * 1.44269504f + rounder;
    const float n = shifted - rounder;
    const float r = x - n * 0.693359375f + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    const std::uint32_t exponent = (std::bit_cast<std::uint32_t>(shifted) & 0x1ffu) << 23;
    return std::bit_cast<float>(std::bit_cast<std::uint32_t>(p) + exponent);
}

inline constexpr std::size_t lanes = 16;

/// The i-th partial result takes elements i, i + 16, ...; `combine` then folds the 16 in order.
template <class Term, class Combine>
float reduce(std::size_t n, float start, Term term, Combine combine) {
    std::array<float, lanes> partial;
    partial.fill(start);
    const std::size_t whole = n / lanes * lanes;
    for (std::size_t i = 0; i < whole; i += lanes)
        for (std::size_t l = 0; l < lanes; ++l) partial[l] = combine(partial[l], term(i + l));
    for (std::size_t l = 0; l < n - whole; ++l) partial[l] = combine(partial[l], term(whole + l));
    float total = start;
    for (const float p : partial) total = combine(total, p);
    return total;
}

inline float max_of(std::span<const float> x) {
    return reduce(
        x.size(), -INFINITY, [&](std::size_t i) { return x[i]; },
        [](float a, float b) { return a > b ? a : b; });
}

inline float sum_of(std::span<const float> x) {
    return reduce(
        x.size(), 0.0f, [&](std::size_t i) { return x[i]; },
        [](float a, float b) { return a + b; });
}

/// y = x / sqrt(mean(x^2) + eps) * weight
inline void rms_norm(std::span<const float> x, std::span<const float> weight, float eps,
                     std::span<float> y) {
    const float squares = reduce(
        x.size(), 0.0f, [&](std::size_t i) { return x[i] * x[i]; },
        [](float a, float b) { return a + b; });
    const float scale = 1.0f / std::sqrt(squares / static_cast<float>(x.size()) + eps);
    for (std::size_t i = 0; i < x.size(); ++i) y[i] = x[i] * scale * weight[i];
}

/// gate = silu(gate) * up, silu(x) = x / (1 + e^-x)
inline void swiglu(std::span<float> gate, std::span<const float> up) {
    for (std::size_t i = 0; i < gate.size(); ++i)
        gate[i] = gate[i] / (1.0f + fast_exp(-gate[i])) * up[i];
}

/// log(sum(e^x)).
inline float log_sum_exp(std::span<const float> x) {
    const float largest = max_of(x);
    const float sum = reduce(
        x.size(), 0.0f, [&](std::size_t i) { return fast_exp(x[i] - largest); },
        [](float a, float b) { return a + b; });
    return largest + std::log(sum);
}

/// The place of the largest element, the first of equals.
inline std::size_t argmax(std::span<const float> x) {
    const float largest = max_of(x);
    std::size_t i = 0;
    while (i + 1 < x.size() && x[i] != largest) ++i;
    return i;
}

}  // namespace tools

#endif  // PARE_EXAMPLES_COMMON_MATH_HPP
