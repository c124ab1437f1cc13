// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_LLM_OPTIONS_HPP
#define PARE_EXAMPLES_LLM_OPTIONS_HPP

#include "common/kv_recipe.hpp"
#include "common/recipe.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace llm {

/// The file of the model that ships with the project, beside the program or its source.
/// @throws tools::usage_error when it is at neither place
std::string shipped_model();

/// The command line of pare_llm.
struct options {
    std::string model;  ///< a file or folder; the shipped model unless given
    std::vector<tools::recipe> recipes;
    bool default_recipes = false;          ///< they were not given
    std::vector<tools::kv_recipe> caches;  ///< `full` unless given
    std::vector<std::size_t> budgets;      ///< tokens per head, of each cache but `full`
    std::vector<double> budgets_mib;       ///< the same in MiB of one sequence's cache
    std::size_t kv_chunk = 1;              ///< tokens that are seen before an eviction
    std::optional<std::string> prompt;
    std::size_t n_generating = 0;  ///< recipes, from the first, that continue the prompt
    std::string ids, text, calibration, save_calibration, tokenizer, json, plot, html;
    std::size_t n_tokens = 128;              ///< to generate
    std::optional<std::size_t> eval_tokens;  ///< 0: all
    std::size_t threads = 1;
    tools::activation_kind activations = tools::activation_kind::f32;
    float temperature = 0.0f;
    std::uint64_t seed = 1;
    std::optional<double> allocate;  ///< bits per weight for a mixture of the recipes
    double allocate_seconds = 30.0;
    bool allocate_greedily = false;
    bool measure = true;  ///< make the table
};

/// @return nothing when the command line only asked for text such as --help, which is then printed
/// @throws tools::usage_error
std::optional<options> parse_options(int argc, char** argv);

}  // namespace llm

#endif  // PARE_EXAMPLES_LLM_OPTIONS_HPP
