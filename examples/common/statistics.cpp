// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "statistics.hpp"

#include "error.hpp"

#include <pare/eigen/inverse_hessian.hpp>

namespace tools {

void observe(std::optional<pare::prune::input_observer>& seen, pare::matrix_view<const float> x,
             bool with_gram) {
    if (!seen)
        seen = value_of(pare::prune::input_observer::make(x.cols(), with_gram), "calibration");
    value_of(seen->add(x), "calibration");
}

input_statistics statistics_of(const pare::prune::input_sums& sums) {
    constexpr float damping = 0.01f;
    input_statistics made;
    made.norms.resize(sums.squares.size());
    value_of(pare::prune::input_norms(sums.squares, made.norms), "calibration");
    if (!sums.gram.empty()) {
        made.inverse_hessian_diagonal.resize(sums.squares.size());
        value_of(pare::eigen::inverse_hessian_diagonal(sums.gram, damping,
                                                       made.inverse_hessian_diagonal),
                 "calibration");
        const std::size_t n = made.norms.size();
        made.inverse_hessian_factor.resize(n * n);
        value_of(pare::eigen::inverse_hessian_factor(sums.gram, damping,
                                                     {made.inverse_hessian_factor.data(), n, n}),
                 "calibration");
    }
    return made;
}

}  // namespace tools
