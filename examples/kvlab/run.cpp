// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "run.hpp"

#include "common/error.hpp"
#include "common/report.hpp"
#include "common/terminal.hpp"
#include "llm/dataset.hpp"
#include "llm/generate.hpp"

#include <algorithm>
#include <cstdio>
#include <filesystem>

namespace kvlab {

namespace {

namespace fs = std::filesystem;
using tools::kv_scorer;

std::vector<llm::token> text_of(const options& o, const llm::checkpoint& source,
                                const llm::model& m) {
    const std::size_t vocab = source.shape().vocab_size,
                      n = std::min(o.n_tokens, source.shape().context);
    const fs::path beside =
        source.path().parent_path() / (source.path().stem().string() + "_eval.safetensors");
    llm::windows text;
    if (!o.text.empty())
        text = llm::read_text(o.text, llm::tokenizer::for_model(source, o.tokenizer), n);
    else if (!o.ids.empty() || fs::exists(beside))
        text = llm::read_ids(o.ids.empty() ? beside : fs::path(o.ids), vocab, n);
    else
        text = llm::write_own_text(m, static_cast<llm::token>(source.shape().first_token), 1, n, 1,
                                   [] {});
    std::vector<llm::token> ids = text.front();
    ids.resize(std::min(ids.size(), n));
    return ids;
}

std::vector<llm::cache_options> all_caches(const options& o) {
    std::vector<llm::cache_options> all;
    for (const tools::kv_recipe& recipe : o.caches) {
        if (recipe.scorer == kv_scorer::full) all.push_back({recipe, 0});
        else
            for (const std::size_t budget : o.budgets) all.push_back({recipe, budget});
    }
    return all;
}

}  // namespace

trace record_source(const options& o, std::string& name) {
    pare::thread_pool threads(o.threads);
    const llm::checkpoint source(o.model);
    name = source.name();
    tools::progress bar("recording " + name, source.shape().n_layers * llm::n_slots);
    const llm::model m(source, {}, {}, threads, [&] { bar.advance(); });
    return record(m, text_of(o, source, m));
}

study replay_all(const trace& t, const std::string& name, const options& o) {
    study s;
    s.source = name;
    s.shape = t.shape;
    s.n_tokens = t.n_tokens();
    s.map_layer = o.map_layer.value_or(t.shape.n_layers / 2);
    s.map_head = o.map_head;
    s.map_budget = *o.map_budget;
    if (s.map_layer >= t.shape.n_layers || s.map_head >= t.shape.n_kv_heads)
        throw tools::usage_error("--map-layer, --map-head: " + title(s));
    const std::vector<llm::cache_options> caches = all_caches(o);
    for (const llm::cache_options& cache : caches)
        llm::make_cache(t.shape, cache, s.n_tokens, 1);  // refuses what is impossible
    tools::progress bar("replaying", t.shape.n_layers + caches.size() * s.n_tokens);
    pare::thread_pool threads(o.threads);
    const full_attention full(t, [&] { bar.advance(); });
    for (const std::size_t budget : o.budgets)
        s.oracles.push_back({budget, full.oracle_mass(budget)});
    for (const llm::cache_options& cache : caches) {
        const bool drawn = !o.html.empty() && cache.tokens == s.map_budget;
        if (drawn) s.maps.emplace_back(cache.recipe.text, s.n_tokens);
        s.outcomes.push_back(replay(t, full, cache, threads,
                                    [&](std::size_t query, std::size_t layer, std::size_t kv_head,
                                        std::span<const std::uint32_t> positions) {
                                        if (layer == 0 && kv_head == 0) bar.advance();
                                        if (drawn && layer == s.map_layer && kv_head == s.map_head)
                                            s.maps.back().add(query, positions);
                                    }));
    }
    return s;
}

void run(const options& o) {
    std::string name = fs::path(o.trace).stem().string();
    const trace t = o.trace.empty() ? record_source(o, name) : read_trace(o.trace);
    if (!o.out.empty()) {
        write_trace(t, o.out);
        std::printf("%s\n", o.out.c_str());
        return;
    }
    const study s = replay_all(t, name, o);
    std::printf("%s\n\n%s", title(s).c_str(), table(s).c_str());
    if (!o.csv.empty()) tools::write_file(o.csv, csv(s));
    if (!o.html.empty()) tools::write_file(o.html, html(s));
}

}  // namespace kvlab
