// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "calibrate.hpp"

#include "common/error.hpp"

#include <pare/eigen/inverse_hessian.hpp>
#include <pare/prune/observer.hpp>

#include <algorithm>
#include <array>
#include <span>

namespace llm {

namespace {

constexpr float damping = 0.01f;

/// Running sums of one input of a block.
struct sums {
    std::vector<double> squares;
    std::vector<float> gram;  // (in_features, in_features), or empty

    void add(pare::matrix_view<const float> x, bool with_gram) {
        const std::size_t n = x.cols();
        squares.resize(n);
        if (with_gram) gram.resize(n * n);
        tools::value_of(pare::prune::accumulate_input_statistics(
                            x, squares,
                            with_gram ? pare::matrix_view<float>(gram.data(), n, n)
                                      : pare::matrix_view<float>()),
                        "calibration");
    }
    block_statistics::of_input finish() const {
        block_statistics::of_input made;
        const std::size_t n = squares.size();
        made.norms.resize(n);
        tools::value_of(pare::prune::input_norms(squares, made.norms), "calibration");
        if (!gram.empty()) {
            made.inverse_hessian_diagonal.resize(n);
            tools::value_of(pare::eigen::inverse_hessian_diagonal({gram.data(), n, n}, damping,
                                                                  made.inverse_hessian_diagonal),
                            "calibration");
        }
        return made;
    }
};

}  // namespace

std::vector<block_statistics> calibrate(const model& dense, const windows& text,
                                        bool inverse_hessian, const std::function<void()>& told) {
    const std::size_t dim = dense.shape().dim;
    // Pieces of max_chunk tokens, each a sequence of its own, and their hidden states.
    std::vector<std::vector<float>> hidden;
    for (const auto& ids : text)
        for (std::size_t at = 0; at < ids.size(); at += session::max_chunk) {
            const std::size_t n = std::min(session::max_chunk, ids.size() - at);
            hidden.emplace_back(n * dim);
            dense.embed(std::span(ids).subspan(at, n), {hidden.back().data(), n, dim});
        }

    std::vector<block_statistics> found(dense.shape().n_layers);
    session s(dense, session::max_chunk);
    for (std::size_t l = 0; l < found.size(); ++l) {
        std::array<sums, n_inputs> seen;
        for (std::vector<float>& x : hidden) {
            s.clear();
            dense.run_block(l, {x.data(), x.size() / dim, dim}, s,
                            [&](input where, pare::matrix_view<const float> what) {
                                seen[static_cast<std::size_t>(where)].add(what, inverse_hessian);
                            });
        }
        for (std::size_t i = 0; i < n_inputs; ++i) found[l].inputs[i] = seen[i].finish();
        told();
    }
    return found;
}

}  // namespace llm
