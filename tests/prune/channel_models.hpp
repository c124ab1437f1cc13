// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_TESTS_PRUNE_CHANNEL_MODELS_HPP
#define PARE_TESTS_PRUNE_CHANNEL_MODELS_HPP

#include <pare/prune/channel_cut.hpp>

#include "support/catch.hpp"
#include "support/matrix.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

// Small models as lists of operations, and what they compute by definition.

namespace pare::testing {

using pare::prune::channel_cut, pare::prune::channel_graph, pare::prune::channel_operation;

struct channel_model {
    std::string name;
    std::vector<channel_operation> operations;
    std::size_t n_groups;
    std::uint32_t n_classes;  // without inputs and outputs
};

inline std::vector<channel_model> channel_models() {
    using op = channel_operation;
    return {
        {"a chain",
         {op::input(3), op::layer(0, 6, 9), op::layer(1, 5, 4), op::layer(2, 2), op::output(3)},
         2,
         11},
        {"a residual stream with zeros for lacking channels",
         {op::input(3), op::layer(0, 4), op::layer(1, 5), op::layer(2, 4), op::elementwise(3, 1),
          op::layer(4, 6), op::layer(5, 8), op::padding(4, 8, 2), op::elementwise(6, 7),
          op::layer(8, 2), op::output(9)},
         4,  // the stream of the first stage, what is added to it, insides of two blocks
         4 + 4 + 5 + 6},
        {"depthwise convolutions, one with two filters per channel",
         {op::input(2), op::layer(0, 6), op::depthwise(1, 6, 9), op::layer(2, 5),
          op::depthwise(3, 10, 4), op::layer(4, 3), op::output(5)},
         2,
         11},
        {"a concatenation of which one part is added to",
         {op::input(3), op::layer(0, 4), op::layer(0, 5), op::concatenation(1, 2), op::layer(3, 9),
          op::elementwise(4, 3), op::layer(5, 2), op::output(6)},
         2,
         9},
        {"grouped convolutions",
         {op::input(2), op::layer(0, 8), op::layer(1, 12, 4, 1, 4), op::layer(2, 3), op::output(3)},
         2,
         2 + 3},
        {"attention with shared keys and values, then a gated MLP",
         {op::input(6), op::layer(0, 24), op::layer(0, 12), op::layer(0, 12),
          op::attention(1, 2, 3, 4), op::layer(4, 6), op::elementwise(5, 0), op::layer(6, 7),
          op::layer(6, 7), op::elementwise(7, 8), op::layer(9, 6), op::elementwise(10, 6),
          op::output(11)},
         2,
         3 + 7},
    };
}

inline channel_graph graph_of(const std::vector<channel_operation>& operations) {
    auto made = channel_graph::make(operations);
    REQUIRE(made);
    return std::move(*made);
}

/// Weights of each layer, (rows, columns); empty for other operations.
using weights_of_layers = std::vector<matrix>;

inline weights_of_layers random_weights(const channel_graph& g) {
    weights_of_layers all;
    for (std::size_t i = 0; i < g.operations().size(); ++i) {
        const channel_operation& o = g.operations()[i];
        const std::size_t read = g.classes(o.reads[0]).size();
        const std::size_t each = o.what == channel_operation::kind::depthwise ? 1 : read / o.groups;
        all.push_back(o.has_weights() ? matrix::uniform(g.classes(i).size(), each * o.taps, i + 1)
                                      : matrix(0, 0));
    }
    return all;
}

/// What each operation writes, (channels, tokens), of three tokens. Tap t of a channel sees t + 1
/// times its value; layers but the last end with ReLU.
/// @param removed  (operations) channels that are multiplied by zero; empty: none
inline std::vector<matrix> run_channels(const std::vector<channel_operation>& operations,
                                        const weights_of_layers& weights,
                                        const std::vector<std::vector<bool>>& removed = {}) {
    using enum channel_operation::kind;
    constexpr std::size_t tokens = 3;
    std::vector<matrix> out;
    for (std::size_t i = 0; i < operations.size(); ++i) {
        const channel_operation& o = operations[i];
        const auto read = [&](std::size_t which = 0) -> const matrix& {
            return out[o.reads[which]];
        };
        if (o.what == input) out.push_back(matrix::uniform(o.channels, tokens, 77));
        else if (o.has_weights()) {
            const matrix& w = weights[i];
            matrix y(w.rows(), tokens);
            const std::size_t each = w.cols() / o.taps, n_groups = read().rows() / each;
            for (std::size_t r = 0; r < w.rows(); ++r)
                for (std::size_t c = 0; c < w.cols(); ++c)
                    for (std::size_t t = 0; t < tokens; ++t) {
                        const std::size_t first = r / (w.rows() / n_groups) * each;
                        y(r, t) += w(r, c) * read()(first + c / o.taps, t) *
                                   static_cast<float>(c % o.taps + 1);
                    }
            if (i + 2 != operations.size())
                for (float& v : y.data()) v = std::max(v, 0.0f);
            out.push_back(y);
        } else if (o.what == elementwise) {
            matrix y = read(0);
            for (std::size_t e = 0; e < y.data().size(); ++e) y.data()[e] += read(1).data()[e];
            out.push_back(y);
        } else if (o.what == concatenation) {
            matrix y(read(0).rows() + read(1).rows(), tokens);
            std::copy(read(0).data().begin(), read(0).data().end(), y.data().begin());
            std::copy(read(1).data().begin(), read(1).data().end(),
                      y.data().begin() + static_cast<std::ptrdiff_t>(read(0).data().size()));
            out.push_back(y);
        } else if (o.what == padding) {
            matrix y(o.channels, tokens);
            for (std::size_t r = 0; r < read().rows(); ++r)
                for (std::size_t t = 0; t < tokens; ++t) y(o.front + r, t) = read()(r, t);
            out.push_back(y);
        } else if (o.what == attention) {
            const matrix &q = read(0), &k = read(1), &v = read(2);
            matrix y(q.rows(), tokens);
            const std::size_t d = o.head_dim, repeats = q.rows() / k.rows();
            for (std::size_t h = 0; h < q.rows() / d; ++h)
                for (std::size_t t = 0; t < tokens; ++t) {
                    float weight[tokens], sum = 0.0f;
                    for (std::size_t s = 0; s < tokens; ++s) {
                        float dot = 0.0f;
                        for (std::size_t e = 0; e < d; ++e)
                            dot += q(h * d + e, t) * k(h / repeats * d + e, s);
                        sum += weight[s] = std::exp(dot);
                    }
                    for (std::size_t s = 0; s < tokens; ++s)
                        for (std::size_t e = 0; e < d; ++e)
                            y(h * d + e, t) += weight[s] / sum * v(h / repeats * d + e, s);
                }
            out.push_back(y);
        } else out.push_back(read());
        for (std::size_t c = 0; !removed.empty() && c < removed[i].size(); ++c)
            for (std::size_t t = 0; removed[i][c] && t < tokens; ++t) out.back()(c, t) = 0.0f;
    }
    return out;
}

}  // namespace pare::testing

#endif  // PARE_TESTS_PRUNE_CHANNEL_MODELS_HPP
