// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_COMMON_STATISTICS_HPP
#define PARE_EXAMPLES_COMMON_STATISTICS_HPP

#include <pare/prune/concepts.hpp>
#include <pare/prune/observer.hpp>

#include <optional>
#include <vector>

namespace tools {

/// What the saliencies need to know of a linear layer's input X (tokens, in_features).
struct input_statistics {
    std::vector<float> norms;                     ///< (in_features) of the columns of X
    std::vector<float> inverse_hessian_diagonal;  ///< (in_features), or empty
    std::vector<float> inverse_hessian_factor;    ///< (in_features, in_features), or empty

    pare::prune::calibration view() const {
        const std::size_t n = inverse_hessian_diagonal.size();
        return {.input_norms = norms,
                .inverse_hessian_diagonal = inverse_hessian_diagonal,
                .inverse_hessian_factor = {inverse_hessian_factor.data(), n, n}};
    }
};

/// Adds x (tokens, in_features) to what was seen, which begins as nothing. @throws failure
void observe(std::optional<pare::prune::input_observer>& seen, pare::matrix_view<const float> x,
             bool with_gram);

/// The norms and, with a Gram matrix, the diagonal and the factor of the inverse of X^T X, damped
/// by a hundredth of its mean diagonal as Frantar and Alistarh, arXiv:2301.00774. @throws failure
input_statistics statistics_of(const pare::prune::input_sums& sums);

}  // namespace tools

#endif  // PARE_EXAMPLES_COMMON_STATISTICS_HPP
