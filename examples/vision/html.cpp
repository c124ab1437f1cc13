// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "common/html.hpp"

#include "common/chart.hpp"
#include "common/model_report.hpp"
#include "report.hpp"

#include <algorithm>

namespace vision {

namespace {

std::string front(std::span<const row> rows, const tools::axis& cost, double (*of)(const row&),
                  std::string_view caption) {
    std::vector<tools::trade> trades;
    for (const row& r : rows) trades.push_back({r.name, of(r), 100 * r.quality.top1, r.method});
    return front_figure(trades, cost, {.name = "top-1, %"}, true, caption);
}

std::string fronts(std::span<const row> rows) {
    std::string figures = front(
        rows, {.name = "network, KB", .from_zero = true},
        [](const row& r) { return 1e-3 * static_cast<double>(r.model_bytes); },
        "Images classified as they should be over the bytes of all layers: higher is better.");
    if (std::ranges::any_of(
            rows, [&](const row& r) { return r.multiply_adds != rows.front().multiply_adds; }))
        figures += front(
            rows, {.name = "million multiply-adds per image", .from_zero = true},
            [](const row& r) { return 1e-6 * static_cast<double>(r.multiply_adds); },
            "The same over the multiply-adds of all layers, where zeros count.");
    return tools::html::grid(figures);
}

}  // namespace

std::string html(const row& dense, std::span<const row> rows) {
    std::vector<tools::model_layers> layers;
    for (const row& r : rows) layers.push_back({r.name, r.each_layer});
    using namespace tools::html;
    std::string content =
        paragraph("Measured on " + std::to_string(dense.n_images) + " images, " +
                  std::to_string(dense.threads) + (dense.threads == 1 ? " thread." : " threads."));
    content += section("Recipes", fronts(rows) + list(verdict(dense, rows)) +
                                      tools::html::table(table_cells(rows)));
    return page(dense.model + " - pare_vision", content + tools::layer_section(layers));
}

}  // namespace vision
