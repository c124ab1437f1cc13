// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "error_measure.hpp"

#include "common/error.hpp"

#include <pare/core/dtype.hpp>

#include <algorithm>
#include <cstddef>
#include <string>

namespace compressor {

namespace {

// The weights that a compressed layer stands for: what it makes of unit vectors.
std::vector<float> weights_of(const tools::linear& layer, std::size_t rows, std::size_t cols,
                              pare::thread_pool& run) {
    constexpr std::size_t most = 64;
    std::vector<float> w(rows * cols), x(most * cols), y(most * rows);
    for (std::size_t begin = 0; begin < cols; begin += most) {
        const std::size_t n = std::min(most, cols - begin);
        std::fill(x.begin(), x.end(), 0.0f);
        for (std::size_t i = 0; i < n; ++i) x[i * cols + begin + i] = 1.0f;
        layer.apply({x.data(), n, cols}, {y.data(), n, rows}, {}, run);
        for (std::size_t i = 0; i < n; ++i)
            for (std::size_t r = 0; r < rows; ++r) w[r * cols + begin + i] = y[i * rows + r];
    }
    return w;
}

}  // namespace

error_measure::error_measure(pare::matrix_view<const float> weights,
                             const pare::prune::input_sums* seen, pare::thread_pool& run)
    : weights_(weights), seen_(seen), run_(run) {
    if (seen_ != nullptr && seen_->squares.size() != weights.cols())
        throw tools::failure("the calibration has " + std::to_string(seen_->squares.size()) +
                             " inputs, the layer " + std::to_string(weights.cols()));
    if (seen_ != nullptr && !seen_->gram.empty())
        gram_ = tools::make_linear(seen_->gram, {}, tools::codec_kind::f32, {}, run_);
    dense_energy_ = energy({weights.data_handle(), weights.rows() * weights.cols()});
    if (!pare::is_finite(dense_energy_))
        throw tools::failure("weights or calibration are not finite");
}

double error_measure::operator()(const tools::linear& compressed) const {
    const std::size_t rows = weights_.rows(), cols = weights_.cols();
    std::vector<float> w = weights_of(compressed, rows, cols, run_);
    for (std::size_t i = 0; i < w.size(); ++i) w[i] -= weights_.data_handle()[i];
    return dense_energy_ > 0.0 ? energy(w) / dense_energy_ : 0.0;
}

// ||X w^T||^2
double error_measure::energy(std::span<const float> w) const {
    const std::size_t rows = weights_.rows(), cols = weights_.cols();
    std::vector<float> times_gram;
    if (gram_) {
        times_gram.resize(w.size());
        gram_->apply({w.data(), rows, cols}, {times_gram.data(), rows, cols}, {}, run_);
    }
    double sum = 0.0;
    for (std::size_t i = 0; i < w.size(); ++i) {
        const auto of_w = static_cast<double>(w[i]);
        sum += of_w * (gram_   ? static_cast<double>(times_gram[i])
                       : seen_ ? of_w * seen_->squares[i % cols]
                               : of_w);
    }
    return sum;
}

}  // namespace compressor
