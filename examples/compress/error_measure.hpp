// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_COMPRESS_ERROR_MEASURE_HPP
#define PARE_EXAMPLES_COMPRESS_ERROR_MEASURE_HPP

#include "common/linear.hpp"

#include <pare/prune/input_sums.hpp>

#include <memory>
#include <span>
#include <vector>

namespace compressor {

/// How far a compressed layer's output is from the dense one's: ||X (W - W')^T||^2 / ||X W^T||^2.
/// What is known of the inputs X is their Gram matrix, else their sums of squares (features are
/// then taken as uncorrelated), else nothing (and as equally large). Summed over layers it
/// foretells what a model loses: Malinovskii et al., arXiv:2411.17525, with all their coefficients
/// alike.
class error_measure {
  public:
    /// @param weights  (out_features, in_features), which must outlive the measure
    /// @param seen     nullptr: nothing; must outlive the measure
    /// @throws failure
    error_measure(pare::matrix_view<const float> weights, const pare::prune::input_sums* seen,
                  pare::thread_pool& run);

    double operator()(const tools::linear& compressed) const;

  private:
    double energy(std::span<const float> w) const;

    pare::matrix_view<const float> weights_;
    const pare::prune::input_sums* seen_;
    pare::thread_pool& run_;
    std::unique_ptr<tools::linear> gram_;  // multiplies by it
    double dense_energy_ = 0.0;
};

}  // namespace compressor

#endif  // PARE_EXAMPLES_COMPRESS_ERROR_MEASURE_HPP
