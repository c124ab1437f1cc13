// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "report.hpp"

#include "common/report.hpp"
#include "common/terminal.hpp"

#include <nlohmann/json.hpp>
#include <cmath>
#include <vector>

namespace llm {

using tools::fixed;

std::string table(std::span<const row> rows) {
    std::vector<std::vector<std::string>> weights{{"recipe", "bits/w", "weight bytes", "sparsity",
                                                   "saliency", "nll", "ppl", "KL", "top-1",
                                                   "decode tok/s", "prefill tok/s"}};
    std::vector<std::vector<std::string>> caches{{"recipe", "cache", "budget", "peak bytes",
                                                  "of full", "nll", "KL", "top-1", "recall",
                                                  "decode tok/s", "prefill tok/s"}};
    bool any_cut = false;
    for (const row& r : rows) {
        const std::string nll = fixed(r.quality.nll, 4), kl = fixed(r.quality.kl, 4),
                          same = fixed(100 * r.quality.agreement, 1) + " %",
                          decode = fixed(r.speed.decode, 0), prefill = fixed(r.speed.prefill, 0);
        any_cut = any_cut || r.kv != "full";
        if (r.kv == "full")
            weights.push_back(
                {r.recipe, fixed(r.layers.bits_per_weight, 2), std::to_string(r.layers.bytes),
                 fixed(100 * r.layers.sparsity, 1) + " %", fixed(100 * r.layers.retained, 1) + " %",
                 nll, fixed(std::exp(r.quality.nll), 3), kl, same, decode, prefill});
        const double share =
            static_cast<double>(r.quality.peak_cache_bytes) / static_cast<double>(r.kv_bytes_full);
        caches.push_back({r.recipe, r.kv, r.kv_budget == 0 ? "all" : std::to_string(r.kv_budget),
                          std::to_string(r.quality.peak_cache_bytes), fixed(100 * share, 1) + " %",
                          nll, kl, same, r.recall ? fixed(100 * *r.recall, 1) + " %" : "-", decode,
                          prefill});
    }
    std::string text;
    if (weights.size() > 1) text = tools::format_table(weights);
    if (any_cut && !text.empty()) text.append("\n");
    if (any_cut) text.append(tools::format_table(caches));
    return text;
}

std::string verdict(const row& dense, std::span<const row> rows) {
    std::string text;
    for (const row& r : rows) {
        if (r.recipe == dense.recipe || r.kv != dense.kv) continue;
        const double decode = r.speed.decode / r.dense_speed.decode;
        const double prefill = r.speed.prefill / r.dense_speed.prefill;
        const double bytes =
            static_cast<double>(r.layers.bytes) / static_cast<double>(dense.layers.bytes);
        const double nll = r.quality.nll - dense.quality.nll;
        const tools::speed_ratio speeds[] = {{"decode", decode}, {"prefill", prefill}};
        text += tools::verdict(r.recipe, speeds, bytes) + ", for " + (nll < 0 ? "" : "+") +
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
