// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "common/html.hpp"

#include "common/chart.hpp"
#include "common/model_report.hpp"
#include "report.hpp"

namespace vision {

std::string html(const row& dense, std::span<const row> rows) {
    std::vector<tools::trade> trades;
    std::vector<tools::model_layers> layers;
    for (const row& r : rows) {
        trades.push_back(
            {r.recipe, r.layers.bits_per_weight, 100 * r.quality.top1, r.layers.sparsity > 0.0});
        layers.push_back({r.recipe, r.each_layer});
    }
    const std::string front =
        front_figure(trades, {.name = "top-1, %"}, true,
                     "Images classified as they should be over the bits of the compressed weights: "
                     "higher is better.");
    using namespace tools::html;
    std::string content =
        paragraph("Measured on " + std::to_string(dense.n_images) + " images, " +
                  std::to_string(dense.threads) + (dense.threads == 1 ? " thread." : " threads."));
    content += section("Recipes", grid(front) + list(verdict(dense, rows)) +
                                      tools::html::table(table_cells(rows)));
    return page(dense.model + " - pare_vision", content + tools::layer_section(layers));
}

}  // namespace vision
