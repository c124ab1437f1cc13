// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_TESTS_SUPPORT_ATTENTION_HPP
#define PARE_TESTS_SUPPORT_ATTENTION_HPP

#include "kv.hpp"
#include "metrics.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

namespace pare::testing {

/// softmax(q k^T / sqrt(head_dim)) v of one query over gathered tokens, by the book and in double,
/// and how far a kernel that computes in floats may be from it.
struct dense_attention {
    std::vector<double> p;        ///< (tokens) 0 for those after the query
    std::vector<double> out;      ///< (head_dim)
    std::vector<double> allowed;  ///< (head_dim) absolute error of out
    double p_relative = 0.0;      ///< error of p, relative, ...
    double p_absolute = 0.0;      ///< ... and absolute

    /// Errors, u = 2^-24. A logit: a dot product, and a few roundings for the scaled query and for
    /// x = scale * code + minimum, whose parts are each at most twice the token's largest number.
    /// A probability: exp turns the error of the logit, and of the largest logit, into a relative
    /// one; its argument x is rounded once and its result off by 2 units in the last place, and
    /// once more for every segment of 128 tokens that follows. The sum below the line errs
    /// likewise. i8 and i4 may be multiplied in integers, the other side as whole multiples of its
    /// largest number / 32639: what that leaves out, half of it, meets codes half of their range
    /// from the middle (attention_pass.hpp). The range counts 2 % more, for its ends are rounded.
    /// Where tokens are stored transformed, all this holds of the transformed numbers, and the
    /// transforms round too: each of log2 n additions and the scale, every number by u of the norm.
    /// @param reach  channel_reach() of the head
    dense_attention(std::span<const kept_token> tokens, std::span<const float> query,
                    std::size_t position, const kv::block_layout& layout, double reach = 0.0)
        : p(tokens.size()), out(query.size()), allowed(query.size()) {
        const std::size_t dim = query.size(), piece = kv::hadamard_piece(dim);
        const double root = std::sqrt(static_cast<double>(dim));
        const auto stored = [&](std::span<const float> x) {
            std::vector<float> y(x.begin(), x.end());
            if (layout.hadamard) kv::hadamard(y);
            return y;
        };
        const double transform_error = layout.hadamard
                                           ? 3 * std::sqrt(static_cast<double>(piece)) *
                                                 (std::log2(static_cast<double>(piece)) + 2) * u
                                           : 0.0;
        const std::vector<float> q_stored = stored(query);
        const double q_most = largest(q_stored) / root;
        double most = -1e300, least = 1e300, logit_error = 0.0, q_sum = 0.0;
        for (const float q : q_stored) q_sum += std::fabs(static_cast<double>(q)) / root;
        for (std::size_t t = 0; t < tokens.size(); ++t) {
            if (tokens[t].position > position) continue;
            const std::vector<float> key = stored(tokens[t].key);
            double magnitude = 0.0, parts_error = 0.0;
            for (std::size_t d = 0; d < dim; ++d) {
                p[t] +=
                    static_cast<double>(query[d]) / root * static_cast<double>(tokens[t].key[d]);
                magnitude += std::fabs(static_cast<double>(q_stored[d]) / root *
                                       static_cast<double>(key[d]));
            }
            if (has_scales(layout.keys)) {
                const bool by_channel = layout.has_channel_scales();
                magnitude = q_sum * (by_channel ? 2 * reach : 4 * largest(key));
                parts_error = static_cast<double>(dim) * q_most / 65278 *
                              (by_channel ? reach : range_of(key)) / 2;
            }
            const double rounded = transform_error * norm_of(query) * norm_of(key) / root;
            logit_error = std::max(logit_error,
                                   dot_product_bound(dim + 8, magnitude) + parts_error + rounded);
            most = std::max(most, p[t]);
            least = std::min(least, p[t]);
        }
        if (most == -1e300) return;
        double total = 0.0, largest_value = 0.0;
        for (std::size_t t = 0; t < tokens.size(); ++t) {
            p[t] = tokens[t].position > position ? 0.0 : std::exp(p[t] - most);
            total += p[t];
        }
        for (double& x : p) x /= total;

        const double n = static_cast<double>(tokens.size()), n_segments = n / 128 + 1;
        const double argument = std::min(most - least, 88.0);
        p_relative =
            2 * (std::expm1(2 * logit_error) + (n_segments + 1) * (argument + 5) * u + (n + 8) * u);
        p_absolute = n * 0x1p-125;  // what is hidden or far below still counts e^-87
        double parts_error = 0.0, most_weight = 0.0, rounded = 0.0;
        std::vector<double> magnitude(dim), added(dim);  // of i8, i4 scale * code + minimum
        for (std::size_t t = 0; t < tokens.size(); ++t) {
            const std::vector<float> value = stored(tokens[t].value);
            largest_value = std::max(largest_value, largest(value));
            rounded += transform_error * p[t] * norm_of(value);
            if (has_scales(layout.values)) {
                if (t % 128 == 0) parts_error += std::exchange(most_weight, 0.0);
                most_weight = std::max(most_weight, 128 * p[t] * range_of(value) / 65278 / 2);
            }
            for (std::size_t d = 0; d < dim; ++d) {
                const double v = std::fabs(static_cast<double>(value[d]));
                out[d] += p[t] * static_cast<double>(tokens[t].value[d]);
                magnitude[d] += p[t] * v;
                added[d] += p[t] * (has_scales(layout.values) ? 4 * largest(value) : v);
            }
        }
        parts_error += most_weight;
        for (std::size_t d = 0; d < dim; ++d)
            allowed[d] = p_relative * magnitude[d] + (n + 8) * u * added[d] + parts_error +
                         p_absolute * 4 * largest_value;
        if (!layout.hadamard) return;
        for (std::size_t first = 0; first < dim;
             first += piece) {  // errors rotate: their norm stays
            double squares = 0.0;
            for (std::size_t d = first; d < first + piece; ++d) squares += allowed[d] * allowed[d];
            for (std::size_t d = first; d < first + piece; ++d)
                allowed[d] = std::sqrt(squares) + rounded;
        }
    }

    bool agrees_with(std::span<const float> kernel) const {
        for (std::size_t d = 0; d < out.size(); ++d)
            if (!(std::fabs(static_cast<double>(kernel[d]) - out[d]) <= allowed[d])) return false;
        return true;
    }

  private:
    static constexpr double u = 0x1p-24;
    static double norm_of(std::span<const float> x) {
        double squares = 0.0;
        for (const float a : x) squares += static_cast<double>(a) * static_cast<double>(a);
        return std::sqrt(squares);
    }
    static double range_of(const std::vector<float>& x) {
        const auto [least, most] = std::minmax_element(x.begin(), x.end());
        return 1.02 * (static_cast<double>(*most) - static_cast<double>(*least));
    }
    static double largest(const std::vector<float>& x) {
        float most = 0.0f;
        for (const float a : x) most = std::max(most, std::fabs(a));
        return static_cast<double>(most);
    }
};

}  // namespace pare::testing

#endif  // PARE_TESTS_SUPPORT_ATTENTION_HPP
