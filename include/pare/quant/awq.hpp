// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_QUANT_AWQ_HPP
#define PARE_QUANT_AWQ_HPP

#include "../core/buffer.hpp"
#include "../core/status.hpp"
#include "../core/tensor_view.hpp"
#include "cast.hpp"

#include <cmath>
#include <cstddef>
#include <span>

namespace pare::quant::inline PARE_ARCH_NAMESPACE {

/// Scales of input features that make rounding spare those which are loud: weights are stored as
/// round(w_rc * s_c) and the layer before gives x_c / s_c, so that the product is the same but for
/// the rounding. s = norm^a, the exponent a in [0, 1] that loses least, by search: Lin et al.,
/// "AWQ", arXiv:2306.00978. Deviations: the L2 norm of a feature, not its mean magnitude; the loss
/// takes features for uncorrelated.
struct awq {
    int steps = 20;  ///< exponents tried beside 0, at equal distances

    /// Layers that share an input are scaled together: pass their weights as one matrix.
    /// @param weights  (rows, cols)
    /// @param codec    of a packed::coded type
    /// @param norms    (cols) of the inputs, calibration::input_norms
    /// @param scales   (cols) out: positive, the geometric mean of the extremes is 1
    /// @return the squared error of the outputs that is left, relative to that without scales;
    /// shape_mismatch, invalid_argument for a norm that is negative or not finite, not_a_number,
    /// out_of_memory
    template <codec Codec>
    result<double> search(matrix_view<const float> weights, const Codec& codec,
                          std::span<const float> norms, std::span<float> scales) const noexcept {
        const std::size_t cols = weights.cols();
        if (norms.size() != cols || scales.size() != cols)
            return error{errc::shape_mismatch, "awq: one norm and one scale per input feature"};
        for (std::size_t c = 0; c < cols; ++c)
            if (!is_finite(norms[c]) || norms[c] < 0.0f)
                return error{errc::invalid_argument, "awq: a norm is negative or not finite", c};
        auto row = buffer<float>::make(cols);
        if (!row) return row.error();
        double least = 0.0, without = 0.0;
        int best = 0;
        for (int i = 0; i <= steps; ++i) {
            fill(norms, static_cast<float>(i) / static_cast<float>(steps), scales);
            const double now = loss(weights, codec, norms, scales, row->span());
            if (!is_finite(static_cast<float>(now)))
                return error{errc::not_a_number, "awq: a weight is NaN, infinite or too large"};
            if (i == 0) without = now;
            if (i == 0 || now < least) least = now, best = i;
        }
        fill(norms, static_cast<float>(best) / static_cast<float>(steps), scales);
        return without > 0.0 ? least / without : 1.0;
    }

  private:
    static void fill(std::span<const float> norms, float exponent,
                     std::span<float> scales) noexcept {
        float least = 0.0f, most = 0.0f;
        for (std::size_t c = 0; c < norms.size(); ++c) {
            const float raised = std::pow(norms[c], exponent);
            scales[c] = raised > 1e-4f ? raised : 1e-4f;  // silent features are not scaled away
            if (c == 0 || scales[c] < least) least = scales[c];
            if (c == 0 || scales[c] > most) most = scales[c];
        }
        const float middle = std::sqrt(least) * std::sqrt(most);
        for (float& s : scales) s /= middle;
    }

    template <class Codec>
    static double loss(matrix_view<const float> weights, const Codec& codec,
                       std::span<const float> norms, std::span<const float> scales,
                       std::span<float> row) noexcept {
        using T = typename Codec::value_type;
        const std::size_t group = T::group == 0 ? row.size() : T::group;
        double sum = 0.0;
        for (std::size_t r = 0; r < weights.rows(); ++r) {
            for (std::size_t c = 0; c < row.size(); ++c) row[c] = weights(r, c) * scales[c];
            for (std::size_t begin = 0; begin < row.size(); begin += group) {
                const std::size_t left = row.size() - begin, n = left < group ? left : group;
                const packed::grid of = codec.fit(row.subspan(begin, n));
                for (std::size_t c = begin; c < begin + n; ++c) {
                    const float stored = T::weight(T::encode(row[c], of), of) / scales[c];
                    const auto lost = static_cast<double>((stored - weights(r, c)) * norms[c]);
                    sum += lost * lost;
                }
            }
        }
        return sum;
    }
};

}  // namespace pare::quant::inline PARE_ARCH_NAMESPACE

#endif  // PARE_QUANT_AWQ_HPP
