// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "options.hpp"

#include "common/command_line.hpp"
#include "common/grammar.hpp"
#include "common/linear.hpp"

#include <cstdio>
#include <limits>

namespace vision {

namespace {

constexpr const char* about =
    "Runs a small convolutional network (ResNets for CIFAR-10, DS-CNN, LeNet) dense and "
    "compressed,\n"
    "and measures size, accuracy and speed.\n";

constexpr const char* notes =
    "A recipe compresses the convolutions, their weights flattened to (out, in * height * width),\n"
    "and fully connected layers; depthwise convolutions stay dense.\n"
    "The first layer and the classifier stay dense: 0.4 % of the weights of a ResNet-20, and two\n"
    "points of its top-1 at nm:2:4. --keep-dense names others, or with '' none.\n"
    "A recipe with channel:... first cuts whole channels out of the network, with all that reads "
    "or\n"
    "adds to them, then compresses what is left; +repair makes up for them as far as those that "
    "stay\n"
    "allow, batch norms included. --save writes the smaller network, which runs as any other.\n"
    "A model that pare_compress wrote runs as it is; recipes and --keep-dense need a dense one.\n"
    "bits/w, weight bytes, sparsity and saliency (kept / total, mean over layers weighted by "
    "their\n"
    "weights) are of the compressed layers, in the line `dense` too; the file of --json also has\n"
    "model_bytes.\n"
    "--reestimate-bn sets the means and variances of each recipe's batch norms, one layer after\n"
    "the other, to those of the first 2000 calibration images; no weight is trained. Calibrated\n"
    "saliencies see the first 128. Calibrate on training images, measure on others.\n"
    "nll is in nats. ms/image is the median of batches of 16 images.\n"
    "Exit code: 0, 1 for a failure, 2 for a command line that makes no sense.";

}  // namespace

std::optional<options> parse_options(int argc, char** argv) {
    options o;
    o.limit = std::numeric_limits<std::size_t>::max();
    std::vector<std::string> recipes;
    std::string keep_dense;
    bool list_recipes = false;

    CLI::App app(about, "pare_vision");
    app.footer(notes);
    app.add_option("--model", o.model, "A .safetensors file");
    app.add_option(
        "--data", o.data,
        "Images to measure on: records of a class byte and the pixels, as CIFAR-10's; for "
        "LeNet MNIST's images in idx format, the labels beside them");
    app.add_option("--recipe", recipes, "What to do to the weights (--list-recipes)");
    const CLI::Option* const kept =
        app.add_option("--keep-dense", keep_dense,
                       "Layers left as they are, by the names of their tensors, with commas "
                       "(default: the first and the last)");
    const CLI::Option* const reestimated = app.add_flag(
        "--reestimate-bn", o.reestimate_norms, "Fit the batch norms to the compressed weights");
    app.add_option("--calibration", o.calibration, "Images to calibrate on, as --data");
    app.add_option("--limit", o.limit, "Images to measure on (default: all)")
        ->check(tools::positive);
    tools::add_threads(app, o.threads);
    tools::add_activations(app, o.activations);
    app.add_option("--save", o.save, "Write the compressed network to this .safetensors file");
    app.add_option("--json", o.json, "Write the table to this file as JSON");
    app.add_option("--html", o.html, "Write a report with charts and layers to this file");
    app.add_flag("--list-recipes", list_recipes, "Print what a recipe can be made of");
    if (!tools::parse(app, argc, argv)) return std::nullopt;
    if (list_recipes) {
        std::puts(tools::list_recipe_parts().c_str());
        return std::nullopt;
    }
    for (const char* const name : {"--model", "--data"})
        if (app.count(name) == 0)
            throw tools::usage_error(std::string(name) + " is missing; see --help");
    tools::check_output("--json", o.json);
    tools::check_output("--html", o.html);
    tools::check_output("--save", o.save);
    if (kept->count() != 0) {
        o.keep_dense.emplace();
        for (const std::string_view name : tools::split(keep_dense, ','))
            if (!name.empty()) o.keep_dense->emplace(name);
    }
    o.default_recipes = recipes.empty();
    if (recipes.empty()) recipes = {"dense", "nm:8:16", "nm:2:4", "nm:1:4", "unstructured:0.5"};
    const auto need_calibration = [&](const std::string& what) {
        if (o.calibration.empty()) throw tools::usage_error(what + " needs --calibration");
    };
    if (reestimated->count() != 0) need_calibration("--reestimate-bn");
    for (const std::string& text : recipes) {
        const tools::recipe& r = o.recipes.emplace_back(tools::parse_recipe(text));
        tools::check_compiled(tools::without_channels(r));
        if (tools::needs_calibration(r) || (r.channels && tools::needs_calibration(*r.channels)))
            need_calibration("recipe '" + text + "'");
    }
    if (!o.save.empty() && o.recipes.size() != 1)
        throw tools::usage_error("--save writes the network of one --recipe");
    return o;
}

}  // namespace vision
