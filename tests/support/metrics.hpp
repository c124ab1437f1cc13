// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_TESTS_SUPPORT_METRICS_HPP
#define PARE_TESTS_SUPPORT_METRICS_HPP

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <span>

namespace pare::testing {

/// Largest |a_i - b_i|. Infinite where one of a pair is NaN, or the sizes differ, so that no
/// comparison with a bound can pass by accident.
inline double max_abs_error(std::span<const float> a, std::span<const float> b) {
    if (a.size() != b.size()) return std::numeric_limits<double>::infinity();
    double worst = 0.0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        if (a[i] == b[i]) continue;
        const double difference = std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
        worst = difference <= worst      ? worst
                : std::isnan(difference) ? std::numeric_limits<double>::infinity()
                                         : difference;
    }
    return worst;
}

/// ||a - b|| / ||b||, the error relative to the reference b; infinite as above, or where b is zero
/// and a is not.
inline double relative_l2_error(std::span<const float> a, std::span<const float> b) {
    if (a.size() != b.size()) return std::numeric_limits<double>::infinity();
    double error = 0.0, reference = 0.0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        const double x = static_cast<double>(a[i]), y = static_cast<double>(b[i]);
        error += (x - y) * (x - y);
        reference += y * y;
    }
    if (error == 0.0) return 0.0;
    const double ratio = std::sqrt(error / reference);
    return std::isnan(ratio) ? std::numeric_limits<double>::infinity() : ratio;
}

/// Number of floats between a and b: 0 when equal (-0 equals +0), 1 for neighbours; the maximum
/// where one of them is NaN.
inline std::uint32_t ulp_distance(float a, float b) {
    if (std::isnan(a) || std::isnan(b)) return std::numeric_limits<std::uint32_t>::max();
    const auto ordered = [](float x) {
        const auto bits = std::bit_cast<std::int32_t>(x);
        return std::int64_t{bits < 0 ? std::numeric_limits<std::int32_t>::min() - bits : bits};
    };
    return static_cast<std::uint32_t>(std::abs(ordered(a) - ordered(b)));
}

/// Bound of |fl(sum) - sum| for a sum of n products of magnitude total `sum |a_i b_i|`, in any
/// order, with or without fused multiply-add: gamma_n * total, gamma_n = n u / (1 - n u) and
/// u = 2^-24. Higham, "Accuracy and Stability of Numerical Algorithms", 2nd ed., section 3.1. The
/// first subnormals are added, where rounding errors are absolute.
inline double dot_product_bound(std::size_t n, double total_magnitude) {
    const double terms = static_cast<double>(n), unit = 0x1p-24;
    return terms * unit / (1.0 - terms * unit) * total_magnitude + terms * 0x1p-149;
}

}  // namespace pare::testing

#endif  // PARE_TESTS_SUPPORT_METRICS_HPP
