// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KV_HADAMARD_HPP
#define PARE_KV_HADAMARD_HPP

#include "../core/config.hpp"

#include <cstddef>
#include <span>

namespace pare::kv::inline PARE_ARCH_NAMESPACE {

/// Consecutive numbers that are transformed together: the largest power of two that divides them
/// all.
constexpr std::size_t hadamard_piece(std::size_t n) noexcept { return n & (~n + 1); }

/// Orthonormal Walsh-Hadamard transform of each piece, in place; its own inverse.
inline void hadamard(std::span<float> numbers) noexcept {
    const std::size_t n = hadamard_piece(numbers.size());
    float scale = 1.0f;  // 1 / sqrt(n)
    for (std::size_t left = n; left > 1; left /= 4) scale *= left == 2 ? 0.70710678f : 0.5f;
    for (float* x = numbers.data(); x != numbers.data() + numbers.size(); x += n) {
        for (std::size_t half = n / 2; half > 0; half /= 2)
            for (float* first = x; first != x + n; first += 2 * half)
                for (std::size_t i = 0; i < half; ++i) {
                    const float a = first[i], b = first[half + i];
                    first[i] = a + b;
                    first[half + i] = a - b;
                }
        for (std::size_t i = 0; i < n; ++i) x[i] *= scale;
    }
}

}  // namespace pare::kv::inline PARE_ARCH_NAMESPACE

#endif  // PARE_KV_HADAMARD_HPP
