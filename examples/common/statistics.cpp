// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "statistics.hpp"

#include "error.hpp"

#include <pare/eigen/inverse_hessian.hpp>
#include <pare/prune/observer.hpp>

namespace tools {

void input_sums::add(pare::matrix_view<const float> x, bool with_gram) {
    const std::size_t n = x.cols();
    squares_.resize(n);
    if (with_gram) gram_.resize(n * n);
    value_of(
        pare::prune::accumulate_input_statistics(
            x, squares_,
            with_gram ? pare::matrix_view<float>(gram_.data(), n, n) : pare::matrix_view<float>()),
        "calibration");
}

input_statistics input_sums::finish() const {
    constexpr float damping = 0.01f;
    input_statistics made;
    const std::size_t n = squares_.size();
    made.norms.resize(n);
    value_of(pare::prune::input_norms(squares_, made.norms), "calibration");
    if (!gram_.empty()) {
        made.inverse_hessian_diagonal.resize(n);
        value_of(pare::eigen::inverse_hessian_diagonal({gram_.data(), n, n}, damping,
                                                       made.inverse_hessian_diagonal),
                 "calibration");
    }
    return made;
}

}  // namespace tools
