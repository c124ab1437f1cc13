// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "options.hpp"

#include "common/command_line.hpp"
#include "common/linear.hpp"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <system_error>

namespace llm {

namespace {

constexpr const char* about =
    "Runs a Llama-architecture model dense and compressed: generates text, and measures size,\n"
    "likelihood, distance to the dense model and speed. Without arguments: the shipped model.\n";

constexpr const char* notes =
    "A recipe compresses the linear layers of the blocks; embedding, norms and output head stay\n"
    "as stored. bits/w, weight bytes, sparsity and saliency (kept / total, mean over layers\n"
    "weighted by their weights) are of those layers; the file of --json also has model_bytes.\n"
    "A model that pare_compress wrote runs as it is; recipes need a dense one.\n"
    "Calibrated saliencies see text that the dense model writes itself, or --calibration.\n"
    "nll is in nats; documents are cut at the model's context, streams are split by it. KL is\n"
    "KL(dense || recipe), top-1 the agreement with the dense model's likeliest token.\n"
    "Without --ids and --text: MODEL_eval.safetensors beside the model, else text that the dense\n"
    "model writes itself. Speeds are medians of the model alone, no sampling.\n"
    "Every recipe runs with every --kv and every budget: give several values after one flag, or\n"
    "repeat it. Recall is the share of the questions of MODEL_eval.safetensors that are answered\n"
    "exactly.\n"
    "Exit code: 0, 1 for a failure, 2 for a command line that makes no sense.";

}  // namespace

std::string shipped_model() {
    namespace fs = std::filesystem;
    std::error_code ignored;
    const fs::path beside = fs::read_symlink("/proc/self/exe", ignored).parent_path() / "bard";
    for (const fs::path& folder : {fs::path(PARE_LLM_SHIPPED_MODEL), beside})
        if (fs::exists(folder / "bard.safetensors", ignored))
            return (folder / "bard.safetensors").string();
    throw tools::usage_error("the shipped model is neither at " PARE_LLM_SHIPPED_MODEL " nor at " +
                             beside.string() + "; name a model with --model");
}

std::optional<options> parse_options(int argc, char** argv) {
    options o;
    std::vector<std::string> recipes, caches;
    bool list_recipes = false, list_kv = false;

    CLI::App app(about, "pare_llm");
    app.footer(notes);
    app.add_option("--model", o.model, "A .safetensors file, its .index.json, or their folder");
    app.add_option("--recipe", recipes, "What to do to the weights (--list-recipes)");
    app.add_option("--kv", caches, "What keeps keys and values (--list-kv)");
    app.add_option("--budget", o.budgets, "Tokens that each KV head may keep")
        ->check(tools::positive);
    app.add_option("--budget-mib", o.budgets_mib, "The same in MiB of a sequence's cache")
        ->check(tools::positive);
    app.add_option("--kv-chunk", o.kv_chunk,
                   "Tokens of a prompt that attend before the cache is cut to its budget; 1 treats "
                   "every token as decoding does")
        ->capture_default_str()
        ->check(tools::in_range(1, 256));
    app.add_option("--prompt", o.prompt, "Continue this text with each recipe; alone: no table");
    app.add_option("--tokens", o.n_tokens, "Tokens to generate")->capture_default_str();
    app.add_option("--temperature", o.temperature, "0 takes the likeliest token")
        ->capture_default_str()
        ->check(tools::in_range(0.0f, 100.0f));
    app.add_option("--seed", o.seed, "Of the sampling")->capture_default_str();
    CLI::Option* const ids = app.add_option(
        "--ids", o.ids, "Token ids to measure on: safetensors (ids, offsets) or numbers in a file");
    app.add_option("--text", o.text, "Text to measure on")->excludes(ids);
    app.add_option("--eval-tokens", o.eval_tokens,
                   "Predictions to measure on; 0: all (default: what takes seconds)");
    app.add_option("--calibration", o.calibration, "Text (or .safetensors ids) to calibrate on");
    app.add_option("--allocate", o.allocate,
                   "Measure a mixture of the recipes too: the linear layers choose among them, "
                   "within these bits per weight, by their KL on the calibration text")
        ->check(tools::positive);
    app.add_option("--allocate-seconds", o.allocate_seconds, "For the search of it, at most")
        ->capture_default_str()
        ->check(tools::in_range(0.0, 1e6));
    app.add_flag("--allocate-greedily", o.allocate_greedily,
                 "From the smallest recipe for all, the best step per byte at a time: the baseline")
        ->needs("--allocate");
    app.add_option("--save-calibration", o.save_calibration,
                   "Write what the layers read of that text to this .safetensors file: tokens, "
                   "sums of squares, largest inputs, Gram matrices");
    app.add_option("--tokenizer", o.tokenizer, "A llama2.c tokenizer file");
    tools::add_threads(app, o.threads);
    tools::add_activations(app, o.activations);
    app.add_option("--json", o.json, "Write the table to this file as JSON");
    app.add_option("--plot", o.plot, "Draw KL over bits per weight to this file as SVG");
    app.add_option("--html", o.html, "Write a report with charts and layers to this file");
    app.add_flag("--list-recipes", list_recipes, "Print what a recipe can be made of");
    app.add_flag("--list-kv", list_kv, "Print what a cache can be made of");
    if (!tools::parse(app, argc, argv)) return std::nullopt;
    if (list_recipes) {
        std::puts(tools::list_recipe_parts().c_str());
        return std::nullopt;
    }
    if (list_kv) {
        std::puts(tools::list_kv_parts().c_str());
        return std::nullopt;
    }
    tools::check_output("--json", o.json);
    tools::check_output("--plot", o.plot);
    tools::check_output("--html", o.html);
    tools::check_output("--save-calibration", o.save_calibration);
    o.measure = !o.prompt || !o.ids.empty() || !o.text.empty() || !o.json.empty() ||
                !o.plot.empty() || !o.html.empty();
    if (caches.empty() && (!o.budgets.empty() || !o.budgets_mib.empty()))
        throw tools::usage_error("--budget needs a --kv policy");
    if (caches.empty()) caches = {"full"};
    for (const std::string& text : caches) {
        o.caches.push_back(tools::parse_kv_recipe(text));
        if (o.caches.back().scorer != tools::kv_scorer::full && o.budgets.empty() &&
            o.budgets_mib.empty())
            throw tools::usage_error("--kv " + text + " needs a --budget or --budget-mib");
    }
    o.default_recipes = recipes.empty();
    if (recipes.empty() && (!o.measure || caches.size() > 1 || caches[0] != "full"))
        recipes = {"dense"};
    if (recipes.empty())
        recipes = {"dense",  "nm:8:16+wanda", "nm:2:4+wanda",
                   "nm:2:4", "nm:1:4+wanda",  "unstructured:0.5+wanda"};
    for (const std::string& text : recipes) {
        o.recipes.push_back(tools::parse_recipe(text));
        tools::check_compiled(o.recipes.back());
    }
    o.n_generating = o.prompt ? recipes.size() : 0;
    if (o.model.empty()) {
        o.model = shipped_model();
        if (!o.prompt && o.ids.empty() && o.text.empty()) {
            o.prompt = "thou art.\n\nNurse:\nGood night";
            o.n_generating = std::min<std::size_t>(2, recipes.size());
        }
    }
    return o;
}

}  // namespace llm
