// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_LLM_CONFIG_HPP
#define PARE_EXAMPLES_LLM_CONFIG_HPP

#include <nlohmann/json_fwd.hpp>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace llm {

/// The numbers of a Llama-architecture model.
struct config {
    std::size_t vocab_size = 0;
    std::size_t dim = 0;
    std::size_t hidden_dim = 0;  ///< at most: see checkpoint
    std::size_t n_layers = 0;
    std::size_t n_heads = 0;
    std::size_t n_kv_heads = 0;
    std::size_t head_dim = 0;
    std::size_t context = 0;  ///< tokens it was trained for
    float norm_eps = 0.0f;
    std::vector<double> frequencies;  ///< (head_dim / 2) rotary angle per position, scaled
    std::optional<bool> tied_output;  ///< the output head is the embedding; unknown when empty
    std::string tokenizer;            ///< "bytes" or empty
    std::size_t first_token = 1;      ///< what a text begins with
};

/// Reads the names of Hugging Face (config.json) and of the original Llama (params.json, llama2.c),
/// numbers also as strings. @throws tools::failure naming the key that is missing, senseless or not
/// understood
config parse_config(const nlohmann::json& json);

}  // namespace llm

#endif  // PARE_EXAMPLES_LLM_CONFIG_HPP
