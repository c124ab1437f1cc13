// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "options.hpp"

#include "common/command_line.hpp"
#include "common/grammar.hpp"
#include "recipe_file.hpp"

#include <cstdio>
#include <utility>
#include <vector>

namespace compressor {

namespace {

constexpr const char* about =
    "Compresses the layers of a model: dense safetensors or GGUF in, safetensors out, which\n"
    "pare_llm and pare_vision run and io::load() opens.\n";

constexpr const char* notes =
    "Compressed are tensors named ...weight of 2 extents, and of 4 (convolutions, flattened to\n"
    "(out, in * height * width)), of at least 2 rows and 16 columns. Others stay dense, and so do\n"
    "depthwise convolutions and, by their names, embeddings and output heads: embed, embd, wte,\n"
    "wpe, tok, lm_head, or all of output.weight. --layer compresses what it names all the same.\n"
    "PATTERN and --keep-dense name tensors, with or without .weight: * stands for any characters,\n"
    "? for one. Of several --layer that fit the last one counts; --keep-dense counts more.\n"
    "A recipe without a codec keeps the tensor's type. Q8_0 and Q4_0 become f32, dense ones too.\n"
    "The metadata of the source are kept, but for GGUF's arrays; a config.json beside a source\n"
    "whose metadata have no `config` becomes that.\n"
    "Channels leave by --recipe-file alone, before all else; the table is of what is left.\n"
    "saliency is kept / total. OUT appears when it is complete. Until then finished layers are\n"
    "kept in the folder OUT.parts: the same command goes on from there after an interruption.\n"
    "An OUT beside OUT.parts is looked at last: an interrupted run may have written it.\n"
    "Exit code: 0, 1 for a failure, 2 for a command line that makes no sense.";

layer_choice read_layer(const std::string& text) {
    const std::size_t equals = text.rfind('=');
    if (equals == 0 || equals == std::string::npos)
        throw tools::usage_error("--layer '" + text + "' is not PATTERN=RECIPE");
    return {text.substr(0, equals), {read_recipe(std::string_view(text).substr(equals + 1))}};
}

// That there is what the recipes need.
void check(const choices& chosen) {
    bool any_list = false;
    const auto look = [&](const candidates& recipes) {
        any_list = any_list || recipes.size() > 1;
        for (const tools::recipe& r : recipes)
            if (chosen.calibration.empty() &&
                (tools::needs_calibration(r) || (r.channels && needs_calibration(*r.channels))))
                throw tools::usage_error("recipe '" + r.text +
                                         "' needs --calibration: what the layers' inputs are like");
    };
    look(chosen.by_default);
    for (const layer_choice& choice : chosen.layers) look(choice.recipes);
    for (const channel_choice& choice : chosen.channels) look({choice.recipe});
    if (any_list && !chosen.within)
        throw tools::usage_error("a list of recipes needs a budget, which chooses among them");
    if (chosen.within && !any_list)
        throw tools::usage_error("a budget needs a list of recipes to choose among");
}

}  // namespace

std::optional<options> parse_options(int argc, char** argv) {
    options o;
    std::string recipe = "nm:2:4", keep_dense, recipe_file, calibration;
    std::vector<std::string> layers;
    bool list_recipes = false;

    CLI::App app(about, "pare_compress");
    app.footer(notes);
    app.add_option("IN", o.in, "A dense model: .safetensors or .gguf");
    app.add_option("OUT", o.out, "The file to write");
    CLI::Option* const by_default =
        app.add_option("--recipe", recipe, "What to do to the weights (--list-recipes)")
            ->capture_default_str();
    app.add_option("--layer", layers, "PATTERN=RECIPE: another recipe for these layers")
        ->allow_extra_args(false);  // else IN and OUT behind it were two more
    app.add_option("--keep-dense", keep_dense, "Tensors left as they are, with commas");
    app.add_option(
        "--recipe-file", recipe_file,
        "Recipes, exceptions, channels, calibration and a budget as JSON; the rest of the command "
        "line counts more");
    app.add_option("--calibration", calibration,
                   "What the layers' inputs are like: a file of pare_llm --save-calibration");
    app.add_flag("--dry-run", o.dry_run, "Print the table, write nothing; OUT may be left out");
    app.add_flag("--force", o.force, "Replace OUT where it exists");
    tools::add_threads(app, o.threads);
    app.add_option("--json", o.json, "Write the table to this file as JSON");
    app.add_option("--html", o.html, "Write a report with charts and layers to this file");
    app.add_flag("--list-recipes", list_recipes, "Print what a recipe can be made of");
    if (!tools::parse(app, argc, argv)) return std::nullopt;
    if (list_recipes) {
        std::puts(tools::list_recipe_parts().c_str());
        return std::nullopt;
    }
    if (o.in.empty()) throw tools::usage_error("IN is missing; see --help");
    if (o.out.empty() && !o.dry_run) throw tools::usage_error("OUT is missing; see --help");
    tools::check_output("OUT", o.out);
    tools::check_output("--json", o.json);
    tools::check_output("--html", o.html);
    if (!recipe_file.empty()) o.chosen = read_recipe_file(recipe_file);
    if (o.chosen.by_default.empty() || !by_default->empty())
        o.chosen.by_default = {read_recipe(recipe)};
    if (!calibration.empty()) o.chosen.calibration = calibration;
    for (const std::string& text : layers) o.chosen.layers.push_back(read_layer(text));
    for (const std::string_view pattern : tools::split(keep_dense, ','))
        if (!pattern.empty()) o.chosen.keep_dense.emplace_back(pattern);
    check(o.chosen);
    return o;
}

}  // namespace compressor
