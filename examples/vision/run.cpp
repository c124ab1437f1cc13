// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "run.hpp"

#include "calibrate.hpp"
#include "common/error.hpp"
#include "common/report.hpp"
#include "common/terminal.hpp"
#include "report.hpp"

#include <algorithm>
#include <cstdio>
#include <map>

namespace vision {

namespace {

// Their activations are all in memory, 0.2 MB for each.
constexpr std::size_t n_calibrating = 2000;

/// What all recipes of a run share.
class workbench {
  public:
    explicit workbench(const options& o)
        : o_(o), threads_(o.threads), source_(o.model),
          data_(read_images(o.data, source_.architecture(), o.limit)), keep_dense_(kept()),
          dense_(build({}, {})) {
        if (o.reestimate_norms && !has_norms())
            throw tools::usage_error("--reestimate-bn: the batch norms of " + source_.name() +
                                     " are folded into its weights, there is none to estimate");
        if (!o.calibration.empty())
            calibration_ = read_images(o.calibration, source_.architecture(), n_calibrating);
    }

    void introduce() const;
    const model& dense() const { return dense_; }
    /// That of dense(), which does nothing, and those to run.
    tools::recipe as_stored() const { return tools::as_stored(source_.has_compressed()); }
    std::vector<tools::recipe> recipes() const {
        return tools::recipes_for(source_.name(), source_.has_compressed(), o_.recipes,
                                  o_.default_recipes);
    }
    /// Whether dense() went through the recipe: not where norms are to be fitted to it.
    bool is_dense(const tools::recipe& recipe) const {
        return is_dense_as_stored(recipe) && !(o_.reestimate_norms && source_.has_compressed());
    }
    /// The model that went through a recipe.
    model compress(const tools::recipe& recipe);
    row measure(const model& m, const tools::recipe& recipe) const;

  private:
    std::vector<std::string> layer_names(bool depthwise = false) const;
    bool has_norms() const;
    std::set<std::string> kept() const;
    model build(const tools::recipe& recipe, const layer_statistics& statistics);
    const layer_statistics& statistics_for(const tools::recipe& recipe);

    const options& o_;
    pare::thread_pool threads_;
    checkpoint source_;
    images data_, calibration_;
    std::set<std::string> keep_dense_;
    model dense_;
    std::map<bool, layer_statistics> statistics_;  // by whether with inverse Hessian
};

// Of those that a recipe may compress, or of the depthwise ones.
std::vector<std::string> workbench::layer_names(bool depthwise) const {
    std::vector<std::string> names;
    for (const step& s : source_.architecture().steps)
        if (const auto* const c = std::get_if<convolution>(&s.what); c && c->depthwise == depthwise)
            names.push_back(c->name);
    return names;
}

bool workbench::has_norms() const {
    const std::vector<step>& steps = source_.architecture().steps;
    return std::any_of(steps.begin(), steps.end(), [](const step& s) {
        const auto* const c = std::get_if<convolution>(&s.what);
        return c && !c->norm.empty();
    });
}

std::set<std::string> workbench::kept() const {
    const std::vector<std::string> names = layer_names();
    if (source_.has_compressed()) {
        if (o_.keep_dense)
            throw tools::usage_error("--keep-dense: " + source_.name() + " is compressed already");
        std::set<std::string> dense;
        for (const std::string& name : names)
            if (!source_.tensor(name + ".weight").is_compressed()) dense.insert(name);
        return dense;
    }
    if (!o_.keep_dense) return {names.front(), names.back()};
    std::string list;
    for (const std::string& name : names) list.append(" ").append(name);
    for (const std::string& name : *o_.keep_dense)
        if (std::find(names.begin(), names.end(), name) == names.end())
            throw tools::usage_error("--keep-dense: the model has no layer '" + name +
                                     "' to compress; there are" + list);
    if (o_.keep_dense->size() == names.size())
        throw tools::usage_error("--keep-dense leaves no layer to compress");
    return *o_.keep_dense;
}

model workbench::build(const tools::recipe& recipe, const layer_statistics& statistics) {
    tools::progress bar("packing " + recipe.text, layer_names().size());
    return {source_, recipe, keep_dense_, statistics, threads_, [&] { bar.advance(); }};
}

const layer_statistics& workbench::statistics_for(const tools::recipe& recipe) {
    const bool inverse_hessian = tools::needs_gram(recipe);
    layer_statistics& statistics = statistics_[inverse_hessian];
    if (statistics.empty()) {
        tools::progress bar("calibrating", n_calibration_batches(calibration_));
        statistics = calibrate(dense_, calibration_, inverse_hessian, [&] { bar.advance(); });
    }
    return statistics;
}

model workbench::compress(const tools::recipe& recipe) {
    model made = !tools::needs_calibration(recipe) ? build(recipe, {})
                                                   : build(recipe, statistics_for(recipe));
    if (o_.reestimate_norms) {
        tools::progress bar("fitting batch norms", source_.architecture().steps.size());
        made.reestimate_norms(calibration_, [&] { bar.advance(); });
    }
    return made;
}

void workbench::introduce() const {
    std::string kept;
    for (const std::string& name : keep_dense_) kept.append(kept.empty() ? "" : ", ").append(name);
    std::printf("%s: %s, %zu layers, left dense: %s; %zu thread%s\n", source_.name().c_str(),
                source_.architecture().name.c_str(), layer_names().size(),
                kept.empty() ? "none" : kept.c_str(), o_.threads, o_.threads == 1 ? "" : "s");
    if (const std::size_t n = layer_names(true).size(); n != 0)
        std::printf("%zu depthwise layers beside them, which no recipe touches\n", n);
    std::printf("measured on %zu images of %s\n", data_.size(), o_.data.c_str());
    if (o_.reestimate_norms)
        std::printf("batch norms of recipes estimated again on %zu images of %s\n",
                    calibration_.size(), o_.calibration.c_str());
    std::printf("\n");
    std::fflush(stdout);
}

row workbench::measure(const model& m, const tools::recipe& recipe) const {
    row r;
    r.model = source_.name();
    r.recipe = recipe.text;
    r.threads = o_.threads;
    r.reestimated_norms = o_.reestimate_norms && &m != &dense_;
    r.layers = m.report();
    r.each_layer = m.layers();
    r.model_bytes = m.bytes();
    r.n_images = data_.size();
    {
        tools::progress bar("measuring " + recipe.text, data_.size());
        r.quality = evaluate(m, data_, [&](std::size_t n) { bar.advance(n); });
    }
    const model* const both[] = {&dense_, &m};
    const std::vector<double> seconds = seconds_per_image(both, data_);
    r.dense_seconds = seconds[0];
    r.seconds = seconds[1];
    return r;
}

}  // namespace

void run(const options& o) {
    workbench bench(o);
    bench.introduce();
    const std::vector<tools::recipe> recipes = bench.recipes();
    const row dense = bench.measure(bench.dense(), bench.as_stored());
    std::vector<row> rows;
    for (const tools::recipe& recipe : recipes)
        rows.push_back(bench.is_dense(recipe) ? dense
                                              : bench.measure(bench.compress(recipe), recipe));
    std::printf("%s\n%s", table(rows).c_str(), verdict(dense, rows).c_str());
    if (!o.json.empty()) write_json(rows, o.json);
    if (!o.html.empty()) tools::write_file(o.html, html(dense, rows));
}

}  // namespace vision
