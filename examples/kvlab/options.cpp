// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "options.hpp"

#include "common/command_line.hpp"
#include "llm/options.hpp"

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

namespace kvlab {

namespace {

constexpr const char* about =
    "Replays attention over one text through key/value caches that evict, without running the\n"
    "model again. Without a command: records in memory and replays, by default the shipped "
    "model.\n";

constexpr const char* notes =
    "Every token attends to what a cache kept before it and to itself, then the cache evicts.\n"
    "mass: share of the full cache's attention that falls on tokens still there, mean over "
    "tokens,\n"
    "heads and layers. regret: what the best choice of as many tokens, made anew for each token\n"
    "and query head, would have on top. output error: |out - full| / |full| of a layer's\n"
    "attention, root mean square over tokens and layers. peak bytes: of the cache; of full:\n"
    "against the same types without a budget. ms: in the cache, over the whole text.\n"
    "Without --ids and --text: MODEL_eval.safetensors beside the model, else text that the model\n"
    "writes itself; the first document alone.\n"
    "Exit code: 0, 1 for a failure, 2 for a command line that makes no sense.";

void add_source(CLI::App& app, options& o) {
    app.add_option("--model", o.model, "A .safetensors file, its .index.json, or their folder");
    CLI::Option* const ids = app.add_option(
        "--ids", o.ids, "Token ids to record: safetensors (ids, offsets) or numbers in a file");
    app.add_option("--text", o.text, "Text to record")->excludes(ids);
    app.add_option("--tokenizer", o.tokenizer, "A llama2.c tokenizer file");
    app.add_option("--tokens", o.n_tokens, "Tokens to record at most, within the model's context")
        ->capture_default_str()
        ->check(tools::in_range(2, 1 << 20));
}

void add_replay(CLI::App& app, options& o, std::vector<std::string>& caches) {
    app.add_option("--kv", caches, "Caches to replay (--list-kv)");
    app.add_option("--budget", o.budgets, "Tokens that each KV head may keep")
        ->check(tools::positive);
    app.add_option("--csv", o.csv, "Write the table to this file");
    app.add_option("--html", o.html, "Write figures and the table to this file");
    app.add_option("--map-layer", o.map_layer, "Layer of the heat maps (default: the middle one)");
    app.add_option("--map-head", o.map_head, "KV head of the heat maps")->capture_default_str();
    app.add_option("--map-budget", o.map_budget, "Budget of the heat maps, one of --budget");
}

}  // namespace

std::optional<options> parse_options(int argc, char** argv) {
    options o;
    std::vector<std::string> caches;
    bool list_kv = false;

    CLI::App app(about, "pare_kvlab");
    app.footer(notes);
    app.require_subcommand(0, 1);
    add_source(app, o);
    add_replay(app, o, caches);
    tools::add_threads(app, o.threads);
    app.add_flag("--list-kv", list_kv, "Print what a cache can be made of");
    CLI::App* const record = app.add_subcommand("record", "Write what attention reads to a file");
    add_source(*record, o);
    record->add_option("--out", o.out, "A safetensors file")->required();
    tools::add_threads(*record, o.threads);
    CLI::App* const replay = app.add_subcommand("replay", "Replay such a file");
    replay->add_option("trace", o.trace, "A safetensors file of record")->required();
    add_replay(*replay, o, caches);
    tools::add_threads(*replay, o.threads);
    if (!tools::parse(app, argc, argv)) return std::nullopt;
    for (const CLI::App* const command : app.get_subcommands())
        for (const CLI::Option* const given : app.get_options())
            if (given->count() != 0 && given->get_name() != "--threads")
                throw tools::usage_error(given->get_name() + ": belongs after " +
                                         command->get_name() + "; see --help");
    if (list_kv) {
        std::puts(tools::list_kv_parts().c_str());
        return std::nullopt;
    }
    tools::check_output("--out", o.out);
    tools::check_output("--csv", o.csv);
    tools::check_output("--html", o.html);
    if (caches.empty())
        caches = {"window", "sinks:4+window", "h2o",      "a2sf:0.1", "a2sf:0.9:0.5",
                  "tova",   "snapkv:16",      "key_norm", "random"};
    for (const std::string& text : caches) {
        o.caches.push_back(tools::parse_kv_recipe(text));
        if (o.caches.back().renumber != 0)
            throw tools::usage_error("--kv " + text + ": recorded queries keep their positions");
    }
    if (o.budgets.empty()) o.budgets = {16, 32, 64, 128};
    std::sort(o.budgets.begin(), o.budgets.end());
    o.budgets.erase(std::unique(o.budgets.begin(), o.budgets.end()), o.budgets.end());
    if (!o.map_budget) o.map_budget = o.budgets[o.budgets.size() / 2];
    if (!std::binary_search(o.budgets.begin(), o.budgets.end(), *o.map_budget))
        throw tools::usage_error("--map-budget: is none of --budget");
    if (o.model.empty() && o.trace.empty()) o.model = llm::shipped_model();
    return o;
}

}  // namespace kvlab
