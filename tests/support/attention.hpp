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
    dense_attention(std::span<const kept_token> tokens, std::span<const float> query,
                    std::size_t position, const kv::block_layout& layout)
        : p(tokens.size()), out(query.size()), allowed(query.size()) {
        constexpr double u = 0x1p-24;
        const std::size_t dim = query.size();
        const double root = std::sqrt(static_cast<double>(dim));
        double most = -1e300, least = 1e300, logit_error = 0.0;
        for (std::size_t t = 0; t < tokens.size(); ++t) {
            if (tokens[t].position > position) continue;
            double magnitude = 0.0, q_sum = 0.0;
            for (std::size_t d = 0; d < dim; ++d) {
                const double q = static_cast<double>(query[d]) / root;
                p[t] += q * static_cast<double>(tokens[t].key[d]);
                magnitude += std::fabs(q * static_cast<double>(tokens[t].key[d]));
                q_sum += std::fabs(q);
            }
            if (has_scales(layout.keys)) magnitude = q_sum * 4 * largest(tokens[t].key);
            double parts_error = 0.0;
            if (has_scales(layout.keys)) {
                double q_most = 0.0;
                for (const float q : query)
                    q_most = std::max(q_most, std::fabs(static_cast<double>(q)));
                parts_error =
                    static_cast<double>(dim) * q_most / root / 65278 * range_of(tokens[t].key) / 2;
            }
            logit_error =
                std::max(logit_error, dot_product_bound(dim + 8, magnitude) + parts_error);
            most = std::max(most, p[t]);
            least = std::min(least, p[t]);
        }
        if (most == -1e300) return;
        double total = 0.0, largest_value = 0.0;
        for (std::size_t t = 0; t < tokens.size(); ++t) {
            p[t] = tokens[t].position > position ? 0.0 : std::exp(p[t] - most);
            total += p[t];
            largest_value = std::max(largest_value, largest(tokens[t].value));
        }
        for (double& x : p) x /= total;

        const double n = static_cast<double>(tokens.size()), n_segments = n / 128 + 1;
        const double argument = std::min(most - least, 88.0);
        p_relative =
            2 * (std::expm1(2 * logit_error) + (n_segments + 1) * (argument + 5) * u + (n + 8) * u);
        p_absolute = n * 0x1p-125;  // what is hidden or far below still counts e^-87
        double parts_error = 0.0;
        for (std::size_t begin = 0; has_scales(layout.values) && begin < tokens.size();
             begin += 128) {
            double most_weight = 0.0;
            for (std::size_t t = begin; t < std::min(begin + 128, tokens.size()); ++t)
                most_weight = std::max(most_weight, p[t] * range_of(tokens[t].value));
            parts_error += 128 * most_weight / 65278 / 2;
        }
        for (std::size_t d = 0; d < dim; ++d) {
            double magnitude = 0.0, added = 0.0;  // of i8 and i4 scale * code and minimum are added
            for (std::size_t t = 0; t < tokens.size(); ++t) {
                const double v = static_cast<double>(tokens[t].value[d]);
                out[d] += p[t] * v;
                magnitude += p[t] * std::fabs(v);
                added += p[t] *
                         (has_scales(layout.values) ? 4 * largest(tokens[t].value) : std::fabs(v));
            }
            allowed[d] = p_relative * magnitude + (n + 8) * u * added + parts_error +
                         p_absolute * 4 * largest_value;
        }
    }

    bool agrees_with(std::span<const float> kernel) const {
        for (std::size_t d = 0; d < out.size(); ++d)
            if (!(std::fabs(static_cast<double>(kernel[d]) - out[d]) <= allowed[d])) return false;
        return true;
    }

  private:
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
