// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_LLM_GENERATE_HPP
#define PARE_EXAMPLES_LLM_GENERATE_HPP

#include "dataset.hpp"
#include "model.hpp"

#include <pare/core/random.hpp>

#include <functional>
#include <span>
#include <vector>

namespace llm {

/// How the next token is chosen: the likeliest (temperature 0), or drawn from the softmax.
struct sampler {
    float temperature = 0.0f;
    pare::random random{1};

    token pick(std::span<const float> logits);
};

/// Continues a prompt by up to n tokens, calling told(id) for each; stops where told() returns
/// false or the context ends. @pre the prompt is not empty
std::vector<token> generate(const model& m, std::span<const token> prompt, std::size_t n,
                            sampler choose, const std::function<bool(token)>& told,
                            const cache_options& o = {});

/// Text that the model writes itself from token `first` on, n_windows of `length` tokens each. With
/// it a model can be calibrated and compared without any data. Williams et al., "Self-calibration
/// for Language Model Quantization and Pruning", arXiv:2410.17170.
windows write_own_text(const model& m, token first, std::size_t n_windows, std::size_t length,
                       std::uint64_t seed, const std::function<void()>& told);

}  // namespace llm

#endif  // PARE_EXAMPLES_LLM_GENERATE_HPP
