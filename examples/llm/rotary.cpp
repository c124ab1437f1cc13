// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "rotary.hpp"

#include <cmath>

namespace llm {

rotary::rotary(std::span<const double> frequencies, std::size_t n_positions, bool interleaved)
    : half_(frequencies.size()), interleaved_(interleaved), cosines_(n_positions * half_),
      sines_(n_positions * half_) {
    for (std::size_t p = 0; p < n_positions; ++p)
        for (std::size_t i = 0; i < half_; ++i) {
            const double angle = static_cast<double>(p) * frequencies[i];
            cosines_[p * half_ + i] = static_cast<float>(std::cos(angle));
            sines_[p * half_ + i] = static_cast<float>(std::sin(angle));
        }
}

void rotary::apply(pare::matrix_view<float> heads, std::size_t position) const {
    const std::size_t step = interleaved_ ? 2 : 1, other = interleaved_ ? 1 : half_;
    for (std::size_t t = 0; t < heads.rows(); ++t) {
        const std::span<float> row = heads.row_span(t);
        const float* const c = cosines_.data() + (position + t) * half_;
        const float* const s = sines_.data() + (position + t) * half_;
        for (std::size_t head = 0; head < row.size(); head += 2 * half_)
            for (std::size_t i = 0; i < half_; ++i) {
                float& first = row[head + i * step];
                float& second = row[head + i * step + other];
                const float a = first, b = second;
                first = a * c[i] - b * s[i];
                second = a * s[i] + b * c[i];
            }
    }
}

}  // namespace llm
