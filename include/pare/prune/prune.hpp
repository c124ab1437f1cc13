// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PRUNE_PRUNE_HPP
#define PARE_PRUNE_PRUNE_HPP

#include "../core/dtype.hpp"
#include "concepts.hpp"

#include <cstddef>
#include <span>
#include <type_traits>

namespace pare::prune::inline PARE_ARCH_NAMESPACE {

namespace detail {

inline status check_finite(matrix_view<const float> values, const char* message) noexcept {
    for (std::size_t r = 0; r < values.rows(); ++r)
        for (std::size_t c = 0; c < values.cols(); ++c)
            if (!is_finite(values(r, c))) return error{errc::not_a_number, message, r};
    return {};
}

inline status check_statistic(std::span<const float> statistic, std::size_t cols) noexcept {
    if (statistic.size() != cols)
        return error{errc::missing_calibration,
                     "the saliency needs one calibration value per input feature",
                     statistic.size()};
    for (std::size_t c = 0; c < cols; ++c)
        if (!is_finite(statistic[c]) || statistic[c] < 0.0f)
            return error{errc::invalid_argument, "a calibration value is negative or not finite",
                         c};
    return {};
}

template <pattern Pattern>
status select(const Pattern& pattern, matrix_view<const float> scores, mask_view kept) noexcept {
    if constexpr (std::is_same_v<decltype(pattern.select(scores, kept)), status>) {
        return pattern.select(scores, kept);
    } else {
        pattern.select(scores, kept);
        return {};
    }
}

}  // namespace detail

/// Scores the weights, both (rows, cols) = (output channels, input features).
/// @return not_a_number for NaN or infinite weights or scores, shape_mismatch, missing_calibration,
/// invalid_argument.
template <saliency Saliency>
status score(matrix_view<const float> weights, const Saliency& saliency, const calibration& inputs,
             matrix_view<float> scores) noexcept {
    if (scores.extents() != weights.extents())
        return error{errc::shape_mismatch, "weights and scores differ in shape"};
    if (auto ok = detail::check_finite(weights, "a weight is NaN or infinite"); !ok) return ok;
    if constexpr (needs_input_norms<Saliency>)
        if (auto ok = detail::check_statistic(inputs.input_norms, weights.cols()); !ok) return ok;
    if constexpr (needs_inverse_hessian<Saliency>)
        if (auto ok = detail::check_statistic(inputs.inverse_hessian_diagonal, weights.cols()); !ok)
            return ok;
    if constexpr (needs_gradients<Saliency>) {
        if (inputs.gradients.extents() != weights.extents())
            return error{errc::missing_calibration, "the saliency needs one gradient per weight"};
        if (auto ok = detail::check_finite(inputs.gradients, "a gradient is NaN or infinite"); !ok)
            return ok;
    }
    saliency.score(weights, inputs, scores);
    return detail::check_finite(scores, "a saliency score is NaN or infinite");
}

/// What a mask keeps of the saliency, and all of it.
struct saliency_sums {
    double kept = 0.0, total = 0.0;

    /// In [0, 1]; 1 where there is none.
    double share() const noexcept { return total > 0.0 ? kept / total : 1.0; }
};

/// Scores and mask of the same shape.
inline saliency_sums sum_saliency(matrix_view<const float> scores, const_mask_view kept) noexcept {
    saliency_sums sums;
    for (std::size_t r = 0; r < scores.rows(); ++r)
        for (std::size_t c = 0; c < scores.cols(); ++c) {
            sums.total += static_cast<double>(scores(r, c));
            sums.kept += kept(r, c) ? static_cast<double>(scores(r, c)) : 0.0;
        }
    return sums;
}

/// The share of the saliency that a mask of the same shape keeps, in [0, 1]; 1 where there is none.
inline double retained(matrix_view<const float> scores, const_mask_view kept) noexcept {
    return sum_saliency(scores, kept).share();
}

/// Scores the weights and selects the mask, both (rows, cols). `scores` is scratch memory on entry
/// and the saliency on return.
/// @return the retained saliency; what score() refuses, shape_mismatch, invalid_argument, and
/// out_of_memory where the pattern needs some.
template <saliency Saliency, pattern Pattern>
result<double> prune(matrix_view<const float> weights, const Saliency& saliency,
                     const Pattern& pattern, const calibration& inputs, matrix_view<float> scores,
                     mask_view kept) noexcept {
    if (kept.rows() != weights.rows() || kept.cols() != weights.cols())
        return error{errc::shape_mismatch, "weights and mask differ in shape"};
    if (auto ok = pattern.check(); !ok) return ok.error();
    if (auto ok = score(weights, saliency, inputs, scores); !ok) return ok.error();
    if (auto ok = detail::select(pattern, scores, kept); !ok) return ok.error();
    return retained(scores, kept);
}

}  // namespace pare::prune::inline PARE_ARCH_NAMESPACE

#endif  // PARE_PRUNE_PRUNE_HPP
