// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_TESTS_SUPPORT_ROTARY_HPP
#define PARE_TESTS_SUPPORT_ROTARY_HPP

#include <pare/kv/rotary.hpp>

#include <cmath>
#include <complex>
#include <cstddef>
#include <span>
#include <vector>

namespace pare::testing {

/// Llama's frequencies of `n` pairs, base 10000.
inline std::vector<double> frequencies(std::size_t n) {
    std::vector<double> made(n);
    for (std::size_t i = 0; i < n; ++i)
        made[i] = std::pow(10000.0, -static_cast<double>(i) / static_cast<double>(n));
    return made;
}

/// A head at a position, by complex numbers.
inline std::vector<double> turned(std::vector<double> head, const kv::rotary& r, double position) {
    const std::size_t n = r.frequencies.size();
    for (std::size_t i = 0; i < n; ++i) {
        const bool halves = r.pairs == kv::pairing::half_split;
        double& a = head[halves ? i : 2 * i];
        double& b = head[halves ? n + i : 2 * i + 1];
        const auto z = std::complex(a, b) * std::polar(1.0, position * r.frequencies[i]);
        a = z.real(), b = z.imag();
    }
    return head;
}
inline std::vector<double> turned(std::span<const float> head, const kv::rotary& r,
                                  double position) {
    return turned(std::vector<double>(head.begin(), head.end()), r, position);
}

}  // namespace pare::testing

#endif  // PARE_TESTS_SUPPORT_ROTARY_HPP
