// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "calibrate.hpp"

#include "common/error.hpp"

#include <pare/io/safetensors.hpp>

#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <utility>

namespace llm {

namespace {

using observers = std::array<std::optional<pare::prune::input_observer>, n_inputs>;

/// Runs the dense model over text, block after block, and hands over what each block's linear
/// layers read.
void observe_blocks(const model& dense, const windows& text, bool with_gram,
                    const std::function<void(observers)>& done) {
    const std::size_t dim = dense.shape().dim;
    // Pieces of max_chunk tokens, each a sequence of its own, and their hidden states.
    std::vector<std::vector<float>> hidden;
    for (const auto& ids : text)
        for (std::size_t at = 0; at < ids.size(); at += session::max_chunk) {
            const std::size_t n = std::min(session::max_chunk, ids.size() - at);
            hidden.emplace_back(n * dim);
            dense.embed(std::span(ids).subspan(at, n), {hidden.back().data(), n, dim});
        }

    session s(dense, session::max_chunk);
    for (std::size_t l = 0; l < dense.shape().n_layers; ++l) {
        observers seen;
        for (std::vector<float>& x : hidden) {
            s.clear();
            dense.run_block(l, {x.data(), x.size() / dim, dim}, s,
                            [&](input where, pare::matrix_view<const float> what) {
                                tools::observe(seen[static_cast<std::size_t>(where)], what,
                                               with_gram);
                            });
        }
        done(std::move(seen));
    }
}

}  // namespace

std::vector<block_statistics> calibrate(const model& dense, const windows& text,
                                        bool inverse_hessian, const std::function<void()>& told) {
    std::vector<block_statistics> found;
    observe_blocks(dense, text, inverse_hessian, [&](const observers& seen) {
        block_statistics& block = found.emplace_back();
        for (std::size_t i = 0; i < n_inputs; ++i)
            block.inputs[i] = tools::statistics_of(seen[i]->sums());
        told();
    });
    return found;
}

void save_calibration(const model& dense, const windows& text, const std::string& file,
                      const std::function<void()>& told) {
    std::vector<observers> blocks;
    observe_blocks(dense, text, true, [&](observers seen) {
        blocks.push_back(std::move(seen));
        told();
    });
    std::vector<std::array<pare::prune::input_sums, n_inputs>> sums(blocks.size());
    pare::io::safetensors_writer out(file);
    for (std::size_t l = 0; l < blocks.size(); ++l) {
        for (std::size_t i = 0; i < n_inputs; ++i) sums[l][i] = blocks[l][i]->sums();
        for (std::size_t s = 0; s < n_slots; ++s) {
            const auto which = static_cast<slot>(s);
            out.add(dense.source().linear(l, which).dense().name,
                    sums[l][static_cast<std::size_t>(input_of(which))]);
        }
    }
    tools::value_of(out.commit(), file);
}

}  // namespace llm
