// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "run.hpp"

#include "common/error.hpp"
#include "common/html.hpp"
#include "common/model_file.hpp"
#include "common/model_report.hpp"
#include "common/report.hpp"
#include "common/statistics.hpp"
#include "common/tensors.hpp"
#include "common/terminal.hpp"

#include <pare/io/input_sums.hpp>

#include <nlohmann/json.hpp>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace compressor {

namespace {

namespace fs = std::filesystem;
using tools::fixed;

/// A layer that went through its recipe.
struct row {
    tensor from;
    std::string recipe;
    std::unique_ptr<tools::linear> packed;

    const pare::layer_report& report() const { return packed->report(); }
    std::string shape() const { return tools::in_words(from.shape()); }
};

/// A tensor that stays dense, and its elements where they are not those of the source.
struct dense_tensor {
    std::vector<float> memory;
    pare::io::tensor_info info;
};

/// What a layer's recipe needs to know of its inputs.
class calibration {
  public:
    explicit calibration(const std::string& file) : file_(file) {
        if (!file.empty())
            sums_ = tools::value_of(pare::io::safetensors_reader::open(file.c_str()), file);
    }
    tools::input_statistics operator()(const tensor& t, const tools::recipe& r) const {
        if (!tools::needs_calibration(r)) return {};
        return tools::statistics_of(
            tools::value_of(pare::io::load_input_sums(*sums_, t.name()), file_));
    }

  private:
    std::string file_;
    std::optional<pare::io::safetensors_reader> sums_;
};

std::vector<row> compress(const source& from, std::span<const tools::recipe> recipes,
                          const calibration& inputs, std::size_t n_threads) {
    pare::thread_pool threads(n_threads);
    tools::progress bar("compressing", from.tensors().size());
    std::vector<row> rows;
    for (std::size_t i = 0; i < recipes.size(); ++i, bar.advance()) {
        if (is_dense_as_stored(recipes[i])) continue;
        const tensor& t = from.tensors()[i];
        std::vector<float> memory;
        try {
            const tools::input_statistics seen = inputs(t, recipes[i]);
            rows.push_back({t, recipes[i].text,
                            tools::load_linear(t.read(memory), recipes[i], seen.view(), threads)});
        } catch (const tools::failure& e) {
            throw tools::failure("tensor '" + std::string(t.name()) + "': " + e.what());
        }
    }
    return rows;
}

std::vector<dense_tensor> read_dense(const source& from, std::span<const tools::recipe> recipes) {
    std::vector<dense_tensor> tensors;
    for (std::size_t i = 0; i < recipes.size(); ++i)
        if (is_dense_as_stored(recipes[i])) {
            dense_tensor& t = tensors.emplace_back();
            t.info = from.tensors()[i].read(t.memory);
        }
    return tensors;
}

std::string table(std::span<const row> rows) {
    std::vector<std::vector<std::string>> cells{
        {"layer", "shape", "recipe", "bits/w", "saliency", "bytes"}};
    std::vector<pare::layer_report> reports;
    const auto add = [&](std::string name, std::string shape, std::string recipe,
                         const pare::layer_report& r) {
        cells.push_back({std::move(name), std::move(shape), std::move(recipe),
                         fixed(r.bits_per_weight, 2), fixed(100 * r.retained, 1) + " %",
                         std::to_string(r.bytes)});
    };
    for (const row& r : rows) {
        add(std::string(r.from.name()), r.shape(), r.recipe, r.report());
        reports.push_back(r.report());
    }
    add("all " + std::to_string(rows.size()), "", "", tools::total_of(reports));
    return tools::format_table(cells);
}

void write_json(std::span<const row> rows, const std::string& file) {
    using nlohmann::ordered_json;
    ordered_json array = ordered_json::array();
    for (const row& r : rows)
        array.push_back({{"layer", r.from.name()},
                         {"shape", std::vector(r.from.shape().begin(), r.from.shape().end())},
                         {"recipe", r.recipe},
                         {"bits_per_weight", r.report().bits_per_weight},
                         {"sparsity", r.report().sparsity},
                         {"retained_saliency", r.report().retained},
                         {"bytes", r.report().bytes}});
    tools::write_json(file, array);
}

// What the terminal shows, and the layers.
std::string html(const std::string& title, const std::string& summary, std::span<const row> rows) {
    tools::model_layers all;
    for (const row& r : rows)
        all.layers.push_back({.name = std::string(r.from.name()),
                              .shape = r.shape(),
                              .recipe = r.recipe,
                              .report = r.report()});
    return tools::html::page(title + " - pare_compress",
                             tools::html::list(summary) + tools::layer_section({&all, 1}));
}

void write(const std::string& file, const source& from, std::span<const row> rows,
           std::span<const dense_tensor> dense) {
    pare::io::safetensors_writer out(file);
    for (const auto& [key, value] : from.metadata()) out.add_metadata(key, value);
    for (const row& r : rows)
        tools::save_layer(out, r.from.name(), *r.packed, r.from.shape(), r.recipe);
    for (const dense_tensor& t : dense)
        out.add(t.info.name, t.info.type, t.info.shape(), t.info.bytes);
    tools::value_of(out.commit(), file);
}

}  // namespace

void run(const options& o) {
    if (!o.dry_run && !o.force && fs::exists(o.out))
        throw tools::failure(o.out + ": exists already; --force replaces it");
    const source from(o.in);
    const std::vector<tools::recipe> recipes = plan(from.tensors(), o.chosen);
    const std::vector<dense_tensor> dense = read_dense(from, recipes);
    if (dense.size() == recipes.size())
        throw tools::failure(o.in + ": no tensor of it is to be compressed; see --help");
    const std::vector<row> rows = compress(from, recipes, calibration(o.calibration), o.threads);
    if (!o.dry_run) write(o.out, from, rows, dense);

    std::size_t dense_bytes = 0;
    for (const dense_tensor& t : dense) dense_bytes += t.info.bytes.size();
    std::string summary = "tensors left dense: " + std::to_string(dense.size()) + ", of " +
                          std::to_string(dense_bytes) + " bytes\n";
    if (from.n_arrays() != 0)
        summary += "arrays of the metadata left out: " + std::to_string(from.n_arrays()) + "\n";
    summary += o.dry_run ? "nothing written\n"
                         : o.out + ": " + std::to_string(fs::file_size(o.out)) + " bytes, of " +
                               std::to_string(fs::file_size(o.in)) + "\n";
    std::printf("%s\n%s", table(rows).c_str(), summary.c_str());
    if (!o.json.empty()) write_json(rows, o.json);
    if (!o.html.empty())
        tools::write_file(o.html, html(fs::path(o.in).filename().string(), summary, rows));
}

}  // namespace compressor
