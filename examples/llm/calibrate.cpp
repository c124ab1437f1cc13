// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "calibrate.hpp"

#include <algorithm>
#include <array>
#include <span>

namespace llm {

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
        std::array<tools::input_sums, n_inputs> seen;
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
