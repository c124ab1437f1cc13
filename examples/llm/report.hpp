// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_LLM_REPORT_HPP
#define PARE_EXAMPLES_LLM_REPORT_HPP

#include "common/terminal.hpp"
#include "evaluate.hpp"

#include <pare/compress.hpp>

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace llm {

/// What was measured of one recipe.
struct row {
    std::string model, recipe, kv = "full";
    std::string name;  ///< of the recipe, and of the inputs that layers take with it
    std::size_t n_integer_layers = 0;  ///< those that take inputs of 8 bits
    std::string method{};              ///< see tools::method_of
    std::size_t threads = 0;
    pare::layer_report layers;  ///< of the compressed linear layers
    std::vector<tools::layer_row> each_layer;
    std::size_t model_bytes = 0;  ///< those, embedding, head, norms and biases
    llm::quality quality;
    std::size_t n_predictions = 0;  ///< that quality is a mean of
    llm::speed speed;
    llm::speed dense_speed;         ///< of the dense model with a full cache, by turns with `speed`
    std::size_t kv_budget = 0;      ///< tokens per head; 0: all
    std::size_t kv_bytes_full = 0;  ///< what the longest text takes with the same types, no budget
    std::optional<double> recall;   ///< fraction of the questions answered; none: there are none
};

/// Of recipes with a full cache; empty without any.
tools::cells weight_cells(std::span<const row> rows);
/// Of all caches; empty where all are full.
tools::cells cache_cells(std::span<const row> rows);
/// Both for the terminal.
std::string table(std::span<const row> rows);
/// One sentence per recipe in plain words: whether it pays against the dense model.
std::string verdict(const row& dense, std::span<const row> rows);
/// Writes an array of objects, one per row; the file appears when complete. @throws tools::failure
void write_json(std::span<const row> rows, const std::string& file);
/// One file that needs no other: what the terminal shows, as charts too, and the layers.
std::string html(const row& dense, std::span<const row> rows);
/// KL from the dense model over bits per weight of the recipes with a full cache, as SVG.
std::string plot(std::span<const row> rows);

}  // namespace llm

#endif  // PARE_EXAMPLES_LLM_REPORT_HPP
