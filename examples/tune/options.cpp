// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "options.hpp"

#include "common/command_line.hpp"
#include "compress/recipe_file.hpp"

#include <cstdio>

namespace tuner {

namespace {

constexpr const char* about =
    "Says what pays for the layers of a model on this machine: times each shape's products dense\n"
    "and by every recipe, and chooses for each layer the fastest that loses little enough and "
    "beats\n"
    "dense in all that it is timed for, else dense. --plan writes the choice for pare_compress\n"
    "--recipe-file; where nothing pays it writes none. `fastest` in a table is what wins that\n"
    "setting, the plan is over all of them.\n";

constexpr const char* notes =
    "Layers are those that pare_compress would take. Tokens are of a convolution the pixels that "
    "it\n"
    "computes; its inputs are as large (stride 1), without groups.\n"
    "error is ||X (W - W')^T||^2 / ||X W^T||^2, by the calibration, else with X as the identity.\n"
    "In each turn a recipe's copies are all read once untimed, then timed. --memory 0: one copy.\n"
    "`of roof` is what the bytes alone or the multiply-adds alone would take, by this machine's\n"
    "measured peaks, over the time measured.\n"
    "Exit code: 0, 1 for a failure or a plan that --check finds slower than dense by more than "
    "the\n"
    "margin, 2 for a command line that makes no sense.";

const std::vector<std::string> usual = {
    "f16",        "i8",     "i4:g32",        "nm:8:16",          "nm:2:4",
    "nm:2:4+i8",  "nm:1:4", "nm:2:4+i4:g32", "hinm:2:4:v32:0.5", "ubp:8:0.5",
    "ubp:8:0.75",
};

// Lists of sizes.
CLI::Option* add_list(CLI::App& app, const char* name, std::vector<std::size_t>& list,
                      const char* meaning, const CLI::Validator& range) {
    return app.add_option(name, list, meaning)->delimiter(',')->check(range)->capture_default_str();
}

}  // namespace

std::optional<options> parse_options(int argc, char** argv) {
    options o;
    std::vector<std::string> recipes = usual;
    std::vector<std::size_t> tokens{1, 64}, threads{1};
    o.wanted.error = 0.1;
    bool list_recipes = false;

    CLI::App app(about, "pare_tune");
    app.footer(notes);
    app.add_option("MODEL", o.model, "A dense model: .safetensors or .gguf");
    app.add_option("--recipe", recipes, "What to time beside dense (--list-recipes)")
        ->capture_default_str();
    app.add_option("--layer", o.layers, "Only layers of these names, with * and ?");
    add_list(app, "--tokens", tokens, "Tokens of a product, with commas",
             tools::in_range(std::size_t{1}, std::size_t{1} << 20));
    add_list(app, "--threads", threads, "Threads, with commas", tools::thread_counts);
    tools::add_activations(app, o.activations);
    app.add_option("--retain", o.wanted.retained, "Least share of the saliency to retain")
        ->capture_default_str()
        ->check(tools::in_range(0.0, 1.0));
    app.add_option("--max-error", o.wanted.error, "Most error of a layer's outputs")
        ->capture_default_str()
        ->check(tools::in_range(0.0, 1e9));
    app.add_option("--margin", o.wanted.margin, "What dense must be beaten by: the noise of timing")
        ->capture_default_str()
        ->check(tools::in_range(0.0, 10.0));
    app.add_option("--calibration", o.calibration,
                   "What the layers' inputs are like: a file of pare_llm --save-calibration");
    app.add_option("--memory", o.memory,
                   "Bytes (with k, m or g) of copies through which the products go (default: as "
                   "many as the model's layers have, 128m at most)")
        ->transform(CLI::AsSizeValue(false));
    app.add_option("--rounds", o.rounds, "Rounds of timing")
        ->capture_default_str()
        ->check(tools::in_range(3, 1000));
    app.add_option("--plan", o.plan, "Write the choice to this file, a recipe file");
    app.add_option("--json", o.json, "Write all that was measured to this file as JSON");
    app.add_option("--html", o.html, "Write a report with charts to this file");
    app.add_flag("--check", o.check, "Time the plan against dense once more");
    app.add_flag("--list-recipes", list_recipes, "Print what a recipe can be made of");
    if (!tools::parse(app, argc, argv)) return std::nullopt;
    if (list_recipes) {
        std::puts(tools::list_recipe_parts().c_str());
        return std::nullopt;
    }
    if (o.model.empty()) throw tools::usage_error("MODEL is missing; see --help");
    tools::check_output("--plan", o.plan);
    tools::check_output("--json", o.json);
    tools::check_output("--html", o.html);
    o.recipes.emplace_back();
    for (const std::string& text : recipes) {
        o.recipes.push_back(compressor::read_recipe(text));
        const tools::recipe& r = o.recipes.back();
        if (tools::needs_calibration(r) && o.calibration.empty())
            throw tools::usage_error("recipe '" + text + "' needs --calibration");
        if (tools::is_dense_as_stored(r)) o.recipes.pop_back();
    }
    for (const std::size_t t : tokens)
        for (const std::size_t n : threads) o.settings.push_back({t, n});
    return o;
}

}  // namespace tuner
