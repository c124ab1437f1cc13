// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_VISION_REPORT_HPP
#define PARE_EXAMPLES_VISION_REPORT_HPP

#include "common/model_report.hpp"
#include "common/terminal.hpp"
#include "evaluate.hpp"

#include <pare/compress.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace vision {

/// What was measured of one recipe.
struct row {
    std::string model, recipe;
    std::string name;  ///< of the recipe, and of the inputs that layers take with it
    std::size_t n_integer_layers = 0;  ///< those that take inputs of 8 bits
    std::string method{};              ///< see tools::method_of
    std::size_t threads = 0;
    bool reestimated_norms = false;
    pare::layer_report layers;  ///< of the compressed layers
    std::vector<tools::layer_row> each_layer;
    std::size_t model_bytes = 0;    ///< those, the others, norms and biases
    std::size_t multiply_adds = 0;  ///< of all layers, per image; zeros count
    vision::quality quality;
    std::size_t n_images = 0;    ///< that quality is a mean of
    double seconds = 0.0;        ///< per image
    double dense_seconds = 0.0;  ///< of the dense model, by turns with `seconds`
};

/// A table's cells, the header first, and as text for the terminal.
tools::cells table_cells(std::span<const row> rows);
std::string table(std::span<const row> rows);
/// One sentence per recipe in plain words: whether it pays against the dense model.
std::string verdict(const row& dense, std::span<const row> rows);
/// Writes an array of objects, one per row; the file appears when complete. @throws tools::failure
void write_json(std::span<const row> rows, const std::string& file);
/// One file that needs no other: what the terminal shows, as a chart too, and the layers.
std::string html(const row& dense, std::span<const row> rows);

}  // namespace vision

#endif  // PARE_EXAMPLES_VISION_REPORT_HPP
