// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "report.hpp"

#include "common/report.hpp"
#include "common/terminal.hpp"

#include <nlohmann/json.hpp>
#include <algorithm>
#include <cmath>

namespace llm {

using tools::cells, tools::fixed, tools::percent;

cells weight_cells(std::span<const row> rows) {
    cells all{{"recipe", "bits/w", "weight bytes", "sparsity", "saliency", "nll", "ppl", "KL",
               "top-1", "decode tok/s", "prefill tok/s"}};
    for (const row& r : rows)
        if (r.kv == "full")
            all.push_back({r.name, fixed(r.layers.bits_per_weight, 2),
                           std::to_string(r.layers.bytes), percent(r.layers.sparsity),
                           percent(r.layers.retained), fixed(r.quality.nll, 4),
                           fixed(std::exp(r.quality.nll), 3), fixed(r.quality.kl, 4),
                           percent(r.quality.agreement), fixed(r.speed.decode, 0),
                           fixed(r.speed.prefill, 0)});
    return all.size() == 1 ? cells{} : all;
}

cells cache_cells(std::span<const row> rows) {
    if (std::ranges::all_of(rows, [](const row& r) { return r.kv == "full"; })) return {};
    cells all{{"recipe", "cache", "budget", "peak bytes", "of full", "nll", "KL", "top-1", "recall",
               "decode tok/s", "prefill tok/s"}};
    for (const row& r : rows) {
        const double share =
            static_cast<double>(r.quality.peak_cache_bytes) / static_cast<double>(r.kv_bytes_full);
        all.push_back({r.name, r.kv, r.kv_budget == 0 ? "all" : std::to_string(r.kv_budget),
                       std::to_string(r.quality.peak_cache_bytes), percent(share),
                       fixed(r.quality.nll, 4), fixed(r.quality.kl, 4),
                       percent(r.quality.agreement), r.recall ? percent(*r.recall) : "-",
                       fixed(r.speed.decode, 0), fixed(r.speed.prefill, 0)});
    }
    return all;
}

std::string table(std::span<const row> rows) {
    std::string text;
    for (const cells& part : {weight_cells(rows), cache_cells(rows)})
        if (!part.empty()) text.append(text.empty() ? "" : "\n").append(tools::format_table(part));
    return text;
}

std::string verdict(const row& dense, std::span<const row> rows) {
    std::string text;
    for (const row& r : rows) {
        if (r.name == dense.name || r.kv != dense.kv) continue;
        const double decode = r.speed.decode / r.dense_speed.decode;
        const double prefill = r.speed.prefill / r.dense_speed.prefill;
        const double bytes =
            static_cast<double>(r.layers.bytes) / static_cast<double>(dense.layers.bytes);
        const double nll = r.quality.nll - dense.quality.nll;
        const tools::speed_ratio speeds[] = {{"decode", decode}, {"prefill", prefill}};
        text += tools::verdict(r.name, speeds, bytes) + ", for " + (nll < 0 ? "" : "+") +
                fixed(nll, 4) + " nats per token (perplexity x" + fixed(std::exp(nll), 2) + ")\n";
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
                         {"threads", r.threads},
                         {"bits_per_weight", r.layers.bits_per_weight},
                         {"weight_bytes", r.layers.bytes},
                         {"model_bytes", r.model_bytes},
                         {"sparsity", r.layers.sparsity},
                         {"retained_saliency", r.layers.retained},
                         {"nll", r.quality.nll},
                         {"ppl", std::exp(r.quality.nll)},
                         {"kl", r.quality.kl},
                         {"agreement", r.quality.agreement},
                         {"predictions", r.n_predictions},
                         {"decode_tok_s", r.speed.decode},
                         {"prefill_tok_s", r.speed.prefill},
                         {"kv", r.kv},
                         {"kv_budget", r.kv_budget},
                         {"kv_bytes_peak", r.quality.peak_cache_bytes},
                         {"kv_bytes_full", r.kv_bytes_full},
                         {"recall", r.recall ? ordered_json(*r.recall) : ordered_json(nullptr)}});
    tools::write_json(file, array);
}

}  // namespace llm
