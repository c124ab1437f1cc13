// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "run.hpp"

#include "allocate.hpp"
#include "calibrate.hpp"
#include "common/error.hpp"
#include "common/report.hpp"
#include "common/terminal.hpp"
#include "generate.hpp"
#include "report.hpp"

#include <algorithm>
#include <cctype>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace llm {

namespace {

namespace fs = std::filesystem;

/// What all recipes of a run share.
class workbench {
  public:
    explicit workbench(const options& o)
        : o_(o), threads_(o.threads), source_(o.model), dense_(build({}, {})),
          window_(std::min<std::size_t>(source_.shape().context, 2048)) {}

    void introduce() const;
    void save_calibration();
    /// The model that went through a recipe; the dense one is always there.
    std::unique_ptr<model> compress(const tools::recipe& recipe);
    /// That of dense(), which does nothing, and those to run.
    tools::recipe as_stored() const { return tools::as_stored(source_.has_compressed()); }
    std::vector<tools::recipe> recipes() const {
        return tools::recipes_for(source_.name(), source_.has_compressed(), o_.recipes,
                                  o_.default_recipes);
    }
    const model& dense() const { return *dense_; }
    /// Whether dense() went through the recipe: not where compressed layers take other inputs.
    bool is_dense(const tools::recipe& recipe) const {
        return is_dense_as_stored(recipe) &&
               !(o_.activations != tools::activation_kind::f32 && source_.has_compressed());
    }
    /// The best mixture of models, which went through the recipes, and says so.
    std::unique_ptr<model> allocate(std::span<const std::unique_ptr<model>> models);
    void continue_prompt(const model& m, const tools::recipe& recipe,
                         const cache_options& cache) const;
    row measure(const model& m, const tools::recipe& recipe, const cache_options& cache);
    /// Every cache with every budget.
    std::vector<cache_options> caches() const;

  private:
    std::unique_ptr<model> build(const tools::recipe& recipe,
                                 std::span<const block_statistics> statistics);
    std::unique_ptr<model> build_to_run(const tools::recipe& recipe,
                                        std::span<const block_statistics> statistics = {});
    std::string name_of(const model& m, const tools::recipe& recipe) const;
    windows calibration_text();
    windows evaluation_text();
    windows own_text(const char* label, std::size_t n_tokens, std::uint64_t seed);
    windows read(const std::string& file, bool is_ids) const;

    const options& o_;
    pare::thread_pool threads_;
    checkpoint source_;
    std::unique_ptr<model> dense_;
    std::size_t window_;                                        // tokens of a sequence
    std::map<bool, std::vector<block_statistics>> statistics_;  // by whether with inverse Hessian
    windows text_;                                              // to measure on
    std::optional<questions> questions_;
    reference_logits reference_;
};

void workbench::introduce() const {
    const config& c = source_.shape();
    std::printf(
        "%s: %.2f M weights, %.2f M of them in the linear layers of %zu blocks; "
        "vocabulary %zu, context %zu; %zu thread%s\n\n",
        source_.name().c_str(), static_cast<double>(source_.n_weights()) / 1e6,
        static_cast<double>(source_.n_linear_weights()) / 1e6, c.n_layers, c.vocab_size, c.context,
        o_.threads, o_.threads == 1 ? "" : "s");
    std::fflush(stdout);
}

void workbench::save_calibration() {
    const windows text = calibration_text();
    tools::progress bar("calibrating", source_.shape().n_layers);
    llm::save_calibration(*dense_, text, o_.save_calibration, [&] { bar.advance(); });
}

std::unique_ptr<model> workbench::build(const tools::recipe& recipe,
                                        std::span<const block_statistics> statistics) {
    tools::progress bar("packing " + recipe.text, source_.shape().n_layers * n_slots);
    return std::make_unique<model>(source_, recipe, statistics, threads_, [&] { bar.advance(); });
}

// As the options say that recipes run.
std::unique_ptr<model> workbench::build_to_run(const tools::recipe& recipe,
                                               std::span<const block_statistics> statistics) {
    auto made = build(recipe, statistics);
    made->take_inputs(o_.activations);
    return made;
}

std::string workbench::name_of(const model& m, const tools::recipe& recipe) const {
    return tools::name_with_inputs(recipe.text, m.n_integer_layers(),
                                   source_.shape().n_layers * n_slots);
}

std::unique_ptr<model> workbench::compress(const tools::recipe& recipe) {
    if (!tools::needs_calibration(recipe)) return build_to_run(recipe);
    const bool inverse_hessian = tools::needs_gram(recipe);
    std::vector<block_statistics>& statistics = statistics_[inverse_hessian];
    if (statistics.empty()) {
        const windows text = calibration_text();
        tools::progress bar("calibrating", source_.shape().n_layers);
        statistics = calibrate(*dense_, text, inverse_hessian, [&] { bar.advance(); });
    }
    return build_to_run(recipe, statistics);
}

std::unique_ptr<model> workbench::allocate(std::span<const std::unique_ptr<model>> models) {
    std::vector<std::size_t> order(models.size());  // by bytes
    std::iota(order.begin(), order.end(), 0);
    const auto model_of = [&](std::size_t i) { return models[i] ? models[i].get() : dense_.get(); };
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
        return model_of(a)->report().bytes < model_of(b)->report().bytes;
    });
    std::vector<const model*> from;
    for (const std::size_t i : order) from.push_back(model_of(i));

    windows text = calibration_text();
    limit_predictions(text, 2048);
    const auto budget = static_cast<std::uint64_t>(
        *o_.allocate * static_cast<double>(source_.n_linear_weights()) / 8.0);
    const auto seconds = std::chrono::duration_cast<std::chrono::nanoseconds>(
        std::chrono::duration<double>(o_.allocate_seconds));
    auto mixed = build_to_run({});
    allocation found;
    {
        tools::progress bar("allocating", n_generations);
        found = llm::allocate(from, *dense_, text, budget, {seconds, o_.seed, o_.allocate_greedily},
                              *mixed, [&] { bar.advance(); });
    }
    std::printf("allocated in %zu %s, %zu evaluations; KL on the calibration text %.4f\n",
                found.outcome.rounds, o_.allocate_greedily ? "steps" : "generations",
                found.outcome.evaluations, found.outcome.loss);
    const std::vector<tools::recipe> names = recipes();
    for (std::size_t l = 0; l < found.levels.size(); ++l) {
        const auto& layer = source_.linear(l / n_slots, static_cast<slot>(l % n_slots)).dense();
        std::printf("  --layer %s=%s\n", std::string(layer.name).c_str(),
                    names[order[found.levels[l]]].text.c_str());
    }
    std::printf("\n");
    return mixed;
}

windows workbench::read(const std::string& file, bool is_ids) const {
    if (is_ids) return read_ids(file, source_.shape().vocab_size, window_);
    return read_text(file, tokenizer::for_model(source_, o_.tokenizer), window_);
}

// Large models write slowly: less text for them.
windows workbench::own_text(const char* label, std::size_t n_tokens, std::uint64_t seed) {
    n_tokens = std::clamp<std::size_t>(4'000'000'000 / source_.n_weights(), 256, n_tokens);
    const std::size_t length = std::min<std::size_t>(window_, 256);
    const std::size_t n_windows = std::max<std::size_t>(1, n_tokens / length);
    tools::progress bar(label, n_windows * (length - 1));
    return write_own_text(*dense_, static_cast<token>(source_.shape().first_token), n_windows,
                          length, seed, [&] { bar.advance(); });
}

windows workbench::calibration_text() {
    if (o_.calibration.empty())
        return own_text("the dense model writes text to calibrate on", 4096, 1);
    windows text = read(o_.calibration, o_.calibration.ends_with(".safetensors"));
    limit_predictions(text, 8192);
    return text;
}

windows workbench::evaluation_text() {
    windows text;
    const fs::path shipped =
        source_.path().parent_path() / (source_.path().stem().string() + "_eval.safetensors");
    if (fs::exists(shipped)) questions_ = read_questions(shipped, source_.shape().vocab_size);
    std::string from = !o_.ids.empty() ? o_.ids : o_.text;
    if (!from.empty()) {
        text = read(from, !o_.ids.empty());
    } else if (fs::exists(shipped)) {
        from = shipped.string();
        text = read(from, true);
    } else {
        from = "text that the dense model wrote";
        text = own_text("the dense model writes text to measure on", 8192, 1000);
    }
    // By default what takes seconds per recipe, and no more than 1 GiB of dense logits.
    const std::size_t all = n_predictions(text);
    const std::size_t affordable = std::min((std::size_t{1} << 28) / source_.shape().vocab_size,
                                            200'000'000'000 / source_.n_weights());
    const std::size_t n = o_.eval_tokens.value_or(std::max<std::size_t>(affordable, 512));
    if (n != 0) limit_predictions(text, n);
    std::printf("measured on %zu of %zu predictions of %s\n\n", n_predictions(text), all,
                from.c_str());
    std::fflush(stdout);
    return text;
}

// Control characters could upset a terminal.
void print_text(std::string_view text) {
    for (const char c : text)
        if (std::iscntrl(static_cast<unsigned char>(c)) == 0 || c == '\n' || c == '\t')
            std::putchar(c);
    std::fflush(stdout);
}

void workbench::continue_prompt(const model& m, const tools::recipe& recipe,
                                const cache_options& cache) const {
    const tokenizer words = tokenizer::for_model(source_, o_.tokenizer);
    const std::vector<token> prompt = words.encode(*o_.prompt);
    if (prompt.empty()) throw tools::usage_error("--prompt is empty");
    std::string label = name_of(m, recipe);
    if (cache.tokens != 0) label += ", " + cache.recipe.text + " " + std::to_string(cache.tokens);
    std::printf("[%s] %s", label.c_str(), o_.prompt->c_str());
    token previous = prompt.back();
    const auto print = [&](token id) {
        const bool ended = words.has_markers() && (id == begin_of_text || id == end_of_text);
        if (!ended) print_text(words.decode(previous, id));
        previous = id;
        return !ended;
    };
    generate(m, prompt, o_.n_tokens, {o_.temperature, pare::random(o_.seed)}, print, cache);
    std::printf("\n\n");
}

std::vector<cache_options> workbench::caches() const {
    std::vector<cache_options> all;
    for (const tools::kv_recipe& recipe : o_.caches) {
        if (recipe.scorer == tools::kv_scorer::full) {
            all.push_back({recipe, 0});
            continue;
        }
        for (const std::size_t tokens : o_.budgets) all.push_back({recipe, tokens});
        for (const double mib : o_.budgets_mib)
            all.push_back(
                {recipe, tokens_within(source_.shape(), recipe,
                                       static_cast<std::size_t>(mib * 0x1p20), o_.kv_chunk)});
    }
    // What is impossible is refused before hours of measuring.
    for (const cache_options& cache : all) make_cache(source_.shape(), cache, window_, o_.kv_chunk);
    return all;
}

row workbench::measure(const model& m, const tools::recipe& recipe, const cache_options& cache) {
    if (text_.empty()) text_ = evaluation_text();
    row r;
    r.model = source_.name();
    r.recipe = recipe.text;
    r.name = name_of(m, recipe);
    r.n_integer_layers = m.n_integer_layers();
    r.threads = o_.threads;
    r.layers = m.report();
    r.method = tools::method_of(recipe, r.layers.sparsity);
    r.each_layer = m.layers();
    r.model_bytes = r.layers.bytes + source_.other_bytes();
    r.n_predictions = n_predictions(text_);
    r.kv = cache.recipe.text;
    r.kv_budget = cache.tokens;
    std::size_t longest = 0;
    for (const auto& ids : text_) longest = std::max(longest, ids.size() - 1);
    r.kv_bytes_full = full_bytes(source_.shape(), cache.recipe, longest);
    const bool exact = cache.tokens == 0 && cache.recipe.lower.empty() &&
                       cache.recipe.reading == tools::kv_reading::all;
    const std::size_t chunk = exact ? session::max_chunk : o_.kv_chunk;
    {
        tools::progress bar("measuring " + recipe.text + " " + cache.recipe.text, r.n_predictions);
        r.quality = evaluate(
            m, text_, reference_, [&](std::size_t n) { bar.advance(n); }, cache, chunk);
        if (questions_) r.recall = recall(m, *questions_, cache, chunk);
    }
    const contender both[] = {{dense_.get(), {}}, {&m, cache}};
    const std::vector<speed> speeds = measure_speeds(both, text_.front());
    r.dense_speed = speeds[0];
    r.speed = speeds[1];
    return r;
}

}  // namespace

void run(const options& o) {
    workbench bench(o);
    bench.introduce();
    if (!o.save_calibration.empty()) bench.save_calibration();
    const std::vector<cache_options> caches = bench.caches();
    const std::vector<tools::recipe> recipes = bench.recipes();
    std::vector<row> rows;
    std::vector<std::unique_ptr<model>> models;  // null: the dense one
    std::optional<row> dense;
    if (o.measure) dense = bench.measure(bench.dense(), bench.as_stored(), {});
    for (std::size_t i = 0; i < recipes.size(); ++i) {
        const tools::recipe& recipe = recipes[i];
        auto own = bench.is_dense(recipe) ? nullptr : bench.compress(recipe);
        const model& m = own ? *own : bench.dense();
        for (const cache_options& cache : caches) {
            if (i < o.n_generating) bench.continue_prompt(m, recipe, cache);
            if (!o.measure) continue;
            const bool same = !own && cache.recipe.text == "full";
            rows.push_back(same ? *dense : bench.measure(m, recipe, cache));
        }
        if (o.allocate) models.push_back(std::move(own));
    }
    if (o.allocate) {
        const auto mixed = bench.allocate(models);
        tools::recipe recipe;
        recipe.text = "allocated";
        for (const cache_options& cache : caches)
            if (o.measure) rows.push_back(bench.measure(*mixed, recipe, cache));
    }
    if (!o.measure) return;
    std::printf("%s\n%s", table(rows).c_str(), verdict(*dense, rows).c_str());
    if (!o.json.empty()) write_json(rows, o.json);
    if (!o.html.empty()) tools::write_file(o.html, html(*dense, rows));
    if (!o.plot.empty()) tools::write_file(o.plot, plot(rows));
}

}  // namespace llm
