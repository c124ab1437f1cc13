// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PRUNE_OBSERVER_HPP
#define PARE_PRUNE_OBSERVER_HPP

#include "../core/status.hpp"
#include "../core/tensor_view.hpp"

#include <array>
#include <cmath>
#include <cstddef>
#include <span>

namespace pare::prune::inline PARE_ARCH_NAMESPACE {

/// Adds what a layer's inputs x (tokens, features) tell a saliency: squares[c] += sum_t x(t, c)^2
/// and gram += X^T X, whole and symmetric. squares (features); gram (features, features), left out
/// when it has no elements. Sums over the tokens of a call are made in double, so few calls of many
/// tokens round the float Gram matrix least. NaN and infinity pass into the sums, which the readers
/// refuse.
inline status accumulate_input_statistics(matrix_view<const float> x, std::span<double> squares,
                                          matrix_view<float> gram = {}) noexcept {
    const std::size_t n = x.cols();
    if (squares.size() != n || (!gram.empty() && (gram.rows() != n || gram.cols() != n)))
        return error{errc::shape_mismatch, "statistics need as many features as the activations"};
    for (std::size_t t = 0; t < x.rows(); ++t)
        for (std::size_t c = 0; c < n; ++c) {
            const double value = static_cast<double>(x(t, c));
            squares[c] += value * value;
        }
    if (gram.empty()) return {};

    // The lower triangle in runs of columns whose sums stay in registers or the first cache.
    constexpr std::size_t run = 64;
    for (std::size_t r = 0; r < n; ++r)
        for (std::size_t begin = 0; begin <= r; begin += run) {
            const std::size_t length = r + 1 - begin < run ? r + 1 - begin : run;
            std::array<double, run> sums{};
            for (std::size_t t = 0; t < x.rows(); ++t) {
                const double value = static_cast<double>(x(t, r));
                for (std::size_t i = 0; i < length; ++i)
                    sums[i] += value * static_cast<double>(x(t, begin + i));
            }
            for (std::size_t i = 0; i < length; ++i) {
                gram(r, begin + i) += static_cast<float>(sums[i]);
                gram(begin + i, r) = gram(r, begin + i);
            }
        }
    return {};
}

/// norms = sqrt(squares), the L2 norm of each feature: calibration::input_norms.
inline status input_norms(std::span<const double> squares, std::span<float> norms) noexcept {
    if (norms.size() != squares.size())
        return error{errc::shape_mismatch, "one norm per input feature"};
    for (std::size_t c = 0; c < norms.size(); ++c)
        norms[c] = static_cast<float>(std::sqrt(squares[c]));
    return {};
}

}  // namespace pare::prune::inline PARE_ARCH_NAMESPACE

#endif  // PARE_PRUNE_OBSERVER_HPP
