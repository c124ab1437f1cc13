// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_KVLAB_OPTIONS_HPP
#define PARE_EXAMPLES_KVLAB_OPTIONS_HPP

#include "common/kv_recipe.hpp"

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace kvlab {

/// The command line of pare_kvlab.
struct options {
    std::string trace;  ///< to replay; empty: record first
    std::string out;    ///< where to record to; empty: in memory, and replay

    std::string model;  ///< a file or folder; the shipped model unless given
    std::string ids, text, tokenizer;
    std::size_t n_tokens = 512;  ///< to record at most
    std::size_t threads = 1;

    std::vector<tools::kv_recipe> caches;
    std::vector<std::size_t> budgets;  ///< ascending
    std::string html, csv;
    std::optional<std::size_t> map_layer;   ///< of the heat maps; unless given the middle one
    std::size_t map_head = 0;               ///< a KV head
    std::optional<std::size_t> map_budget;  ///< unless given the middle one
};

/// @return nothing when the command line only asked for text such as --help, which is then printed
/// @throws tools::usage_error
std::optional<options> parse_options(int argc, char** argv);

}  // namespace kvlab

#endif  // PARE_EXAMPLES_KVLAB_OPTIONS_HPP
