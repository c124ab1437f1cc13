// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_LLM_REPORT_HPP
#define PARE_EXAMPLES_LLM_REPORT_HPP

#include "evaluate.hpp"

#include <pare/compress.hpp>

#include <cstddef>
#include <span>
#include <string>

namespace llm {

/// What was measured of one recipe.
struct row {
    std::string model, recipe;
    std::size_t threads = 0;
    pare::layer_report layers;    ///< of the compressed linear layers
    std::size_t model_bytes = 0;  ///< those, embedding, head, norms and biases
    llm::quality quality;
    std::size_t n_predictions = 0;  ///< that quality is a mean of
    llm::speed speed;
    llm::speed dense_speed;  ///< of the dense model, measured by turns with `speed`
};

std::string table(std::span<const row> rows);
/// One sentence per recipe in plain words: whether it pays against the dense model.
std::string verdict(const row& dense, std::span<const row> rows);
/// Writes an array of objects, one per row; the file appears when complete. @throws tools::failure
void write_json(std::span<const row> rows, const std::string& file);

}  // namespace llm

#endif  // PARE_EXAMPLES_LLM_REPORT_HPP
