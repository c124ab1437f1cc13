// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_QUANT_MIXLLM_HPP
#define PARE_QUANT_MIXLLM_HPP

#include "../core/dtype.hpp"
#include "../prune/unstructured.hpp"

#include <cstddef>
#include <span>

namespace pare::quant::inline PARE_ARCH_NAMESPACE {

/// Which output channels get more bits: those of a whole model whose rounding costs the loss most,
/// wherever they are. With D = rounded - weights and g the loss's gradient by a weight, a channel's
/// salience is the sum over its row of |g D + (g D)^2 / 2|, the Taylor expansion with a second
/// order of rank one. Zheng et al., "MixLLM", arXiv:2412.14590, where a tenth of the channels have
/// 8 bits, the others 4 in groups of 128.
struct mixllm {
    float share = 0.1f;  ///< of all channels, in (0, 1]; at least one

    status check() const noexcept {
        if (is_finite(share) && share > 0.0f && share <= 1.0f) return {};
        return error{errc::invalid_argument, "mixllm: the share must be in (0, 1]"};
    }

    /// weights, their values `rounded` to the few bits, gradients: (channels, features) of a layer;
    /// salience (channels), written even where it is refused. @return shape_mismatch; not_a_number
    /// for a salience that is
    static status score(matrix_view<const float> weights, matrix_view<const float> rounded,
                        matrix_view<const float> gradients, std::span<float> salience) noexcept {
        if (rounded.extents() != weights.extents() || gradients.extents() != weights.extents() ||
            salience.size() != weights.rows())
            return error{errc::shape_mismatch, "mixllm: weights, gradients and channels disagree"};
        for (std::size_t r = 0; r < weights.rows(); ++r) {
            double sum = 0.0;
            for (std::size_t c = 0; c < weights.cols(); ++c) {
                const double step =
                    static_cast<double>(gradients(r, c)) *
                    (static_cast<double>(rounded(r, c)) - static_cast<double>(weights(r, c)));
                const double change = step + 0.5 * step * step;
                sum += change < 0.0 ? -change : change;
            }
            salience[r] = static_cast<float>(sum);
            if (!is_finite(salience[r]))
                return error{errc::not_a_number, "mixllm: a salience is NaN or infinite", r};
        }
        return {};
    }

    /// salience (channels) of all layers, one after the other; high (1, channels) becomes 1 where
    /// there are more bits. @return shape_mismatch, invalid_argument, not_a_number
    status select(std::span<const float> salience, prune::mask_view high) const noexcept {
        if (auto ok = check(); !ok) return ok;
        if (high.rows() != 1 || high.cols() != salience.size())
            return error{errc::shape_mismatch, "mixllm: one bit per channel"};
        for (std::size_t i = 0; i < salience.size(); ++i)
            if (!is_finite(salience[i]))
                return error{errc::not_a_number, "mixllm: a salience is NaN or infinite", i};
        prune::unstructured{1.0f - share}.select({salience.data(), 1, salience.size()}, high);
        return {};
    }
};

}  // namespace pare::quant::inline PARE_ARCH_NAMESPACE

#endif  // PARE_QUANT_MIXLLM_HPP
