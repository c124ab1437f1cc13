// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "run.hpp"

#include "common/error.hpp"
#include "common/report.hpp"
#include "common/terminal.hpp"
#include "compress/plan.hpp"
#include "report.hpp"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <map>
#include <numeric>
#include <thread>
#include <utility>

namespace tuner {

namespace {

using tools::fixed;

bool is_wanted(const compressor::tensor& t, const options& o) {
    return compressor::is_layer(t) &&
           (o.layers.empty() || std::ranges::any_of(o.layers, [&](const std::string& pattern) {
                return compressor::fits(pattern, t.name());
            }));
}

// In the order in which the model has them.
std::vector<layer_shape> shapes_of(const compressor::source& model, const options& o) {
    std::vector<layer_shape> shapes;
    std::vector<float> memory;
    for (const compressor::tensor& t : model.tensors()) {
        if (!is_wanted(t, o)) continue;
        const std::vector<std::size_t> extents(t.shape().begin(), t.shape().end());
        const std::string dtype(describe(t.read(memory).type).name);
        const auto found = std::ranges::find_if(
            shapes, [&](const layer_shape& s) { return s.extents == extents && s.dtype == dtype; });
        if (found == shapes.end()) shapes.push_back({extents, dtype, {t}});
        else found->layers.push_back(t);
    }
    if (shapes.empty()) throw tools::failure(o.model + ": it has no such layer; see --help");
    return shapes;
}

std::size_t bytes_of(std::span<const tuned> all) {
    std::size_t bytes = 0;
    for (const tuned& t : all)
        for (const compressor::measured& is : t.packed[0].of_layers) bytes += is.report.bytes;
    return bytes;
}

// All layers once, dense and by the plan.
struct totals {
    double dense = 0.0, plan = 0.0;
};

/// The plan against dense, timed anew.
class second_timing {
  public:
    second_timing(std::span<const tuned> all, const options& o, machine& here)
        : all_(all), o_(o), here_(here), model_bytes_(bytes_of(all)) {}

    /// Prints it. @throws tools::failure where a layer is slower by more than the margin
    void run() {
        for (const setting& in : o_.settings) {
            totals sum;
            for (const tuned& t : all_) add(t, in, sum);
            rows_.push_back({"all layers", in_words(in), "", fixed(1e6 * sum.dense, 1),
                             fixed(1e6 * sum.plan, 1), fixed(sum.dense / sum.plan, 2) + "x"});
        }
        std::printf("the plan, timed once more\n%s", tools::format_table(rows_).c_str());
        if (n_slower_ != 0)
            throw tools::failure(std::to_string(n_slower_) +
                                 " of these are slower than dense by more than the margin");
    }

  private:
    void add(const tuned& t, const setting& in, totals& sum) {
        std::map<std::size_t, std::size_t> n_layers;  // of each recipe
        for (const std::size_t i : t.of_layers) ++n_layers[i];
        for (const auto& [i, n] : n_layers) {
            const timed again = time_products(t, {0, i}, in, o_, model_bytes_, here_);
            const auto& [dense, plan] = std::pair(again.field[0], again.field[1]);
            sum.dense += static_cast<double>(n) * dense.seconds;
            sum.plan += static_cast<double>(n) * (i == 0 ? dense : plan).seconds;
            if (i == 0) continue;
            n_slower_ += plan.speedup < 1.0 / (1.0 + o_.wanted.margin);
            rows_.push_back({in_words(t.shape), in_words(in), t.packed[i].name,
                             fixed(1e6 * dense.seconds, 2), fixed(1e6 * plan.seconds, 2),
                             fixed(plan.speedup, 2) + "x"});
        }
    }

    std::span<const tuned> all_;
    const options& o_;
    machine& here_;
    std::size_t model_bytes_, n_slower_ = 0;
    std::vector<std::vector<std::string>> rows_{
        {"shape", "for", "recipe", "dense us", "plan us", "speed"}};
};

}  // namespace

void run(const options& o) {
    const compressor::source model(o.model);
    const compressor::calibration inputs(o.calibration);
    machine here;
    std::vector<tuned> all;
    {
        pare::thread_pool threads(std::thread::hardware_concurrency());
        auto shapes = shapes_of(model, o);
        tools::progress bar("compressing", shapes.size());
        for (layer_shape& shape : shapes) {
            all.push_back(measure_losses(std::move(shape), o, inputs, threads));
            bar.advance();
        }
    }
    for (tuned& t : all) {
        std::vector<std::size_t> which(t.packed.size());
        std::iota(which.begin(), which.end(), std::size_t{0});
        for (const setting& in : o.settings) {
            t.times.push_back(time_products(t, which, in, o, bytes_of(all), here));
            std::printf("%s\n", describe(t, t.times.back()).c_str());
        }
        choose_for_layers(t, o.wanted);
    }
    std::printf("the plan\n");
    for (const tuned& t : all) std::printf("%s", describe_choice(t).c_str());
    if (!o.plan.empty()) write_plan(all, o);
    if (!o.json.empty()) write_measurements(all, o.json);
    if (!o.html.empty())
        tools::write_file(o.html, html(std::filesystem::path(o.model).filename().string(), all));
    if (o.check) second_timing(all, o, here).run();
}

}  // namespace tuner
