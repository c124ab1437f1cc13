// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "report.hpp"

#include "common/report.hpp"
#include "common/terminal.hpp"

#include <nlohmann/json.hpp>
#include <vector>

namespace vision {

using tools::fixed;

tools::cells table_cells(std::span<const row> rows) {
    std::vector<std::vector<std::string>> cells{{"recipe", "bits/w", "weight bytes", "sparsity",
                                                 "saliency", "Mmadd", "top-1", "nll", "ms/image"}};
    for (const row& r : rows)
        cells.push_back({r.name, fixed(r.layers.bits_per_weight, 2), std::to_string(r.layers.bytes),
                         fixed(100 * r.layers.sparsity, 1) + " %",
                         fixed(100 * r.layers.retained, 1) + " %",
                         fixed(1e-6 * static_cast<double>(r.multiply_adds), 2),
                         fixed(100 * r.quality.top1, 1) + " %", fixed(r.quality.nll, 4),
                         fixed(1e3 * r.seconds, 3)});
    return cells;
}

std::string table(std::span<const row> rows) { return tools::format_table(table_cells(rows)); }

std::string verdict(const row& dense, std::span<const row> rows) {
    std::string text;
    for (const row& r : rows) {
        if (r.name == dense.name) continue;
        const tools::speed_ratio speed{"images", r.dense_seconds / r.seconds};
        const double bytes =
            static_cast<double>(r.layers.bytes) / static_cast<double>(dense.layers.bytes);
        const double points = 100 * (r.quality.top1 - dense.quality.top1);
        text += tools::verdict(r.name, {&speed, 1}, bytes) + ", for " + (points < 0 ? "" : "+") +
                fixed(points, 1) + " points of top-1\n";
    }
    return text;
}

void write_json(std::span<const row> rows, const std::string& file) {
    using nlohmann::ordered_json;
    ordered_json array = ordered_json::array();
    for (const row& r : rows)
        array.push_back({{"model", r.model},
                         {"recipe", r.recipe},
                         {"integer_layers", r.n_integer_layers},
                         {"reestimated_bn", r.reestimated_norms},
                         {"threads", r.threads},
                         {"top1", r.quality.top1},
                         {"nll", r.quality.nll},
                         {"images", r.n_images},
                         {"retained_saliency", r.layers.retained},
                         {"sparsity", r.layers.sparsity},
                         {"bits_per_weight", r.layers.bits_per_weight},
                         {"weight_bytes", r.layers.bytes},
                         {"model_bytes", r.model_bytes},
                         {"multiply_adds", r.multiply_adds},
                         {"ms_per_image", 1e3 * r.seconds},
                         {"dense_ms_per_image", 1e3 * r.dense_seconds}});
    tools::write_json(file, array);
}

}  // namespace vision
