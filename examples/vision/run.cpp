// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "run.hpp"

#include "calibrate.hpp"
#include "channels.hpp"
#include "common/error.hpp"
#include "common/report.hpp"
#include "common/terminal.hpp"
#include "repair.hpp"
#include "report.hpp"
#include "select_channels.hpp"

#include <algorithm>
#include <cstdio>
#include <map>

namespace vision {

namespace {

// Their activations are all in memory, 0.2 MB for each.
constexpr std::size_t n_calibrating = 2000;

// Of the layers that a recipe may compress, or of the depthwise ones.
std::vector<std::string> layer_names(const architecture& a, bool depthwise = false) {
    std::vector<std::string> names;
    for (const step& s : a.steps)
        if (const auto* const c = std::get_if<convolution>(&s.what); c && c->depthwise == depthwise)
            names.push_back(c->name);
    return names;
}

bool has_norms(const architecture& a) {
    return std::any_of(a.steps.begin(), a.steps.end(), [](const step& s) {
        const auto* const c = std::get_if<convolution>(&s.what);
        return c && !c->norm.empty();
    });
}

// Layers of a network that stay dense.
std::set<std::string> kept_dense(const options& o, const checkpoint& source) {
    const std::vector<std::string> names = layer_names(source.architecture());
    if (source.has_compressed()) {
        if (o.keep_dense)
            throw tools::usage_error("--keep-dense: " + source.name() + " is compressed already");
        std::set<std::string> dense;
        for (const std::string& name : names)
            if (!source.tensor(name + ".weight").is_compressed()) dense.insert(name);
        return dense;
    }
    if (!o.keep_dense) return {names.front(), names.back()};
    std::string list;
    for (const std::string& name : names) list.append(" ").append(name);
    for (const std::string& name : *o.keep_dense)
        if (std::find(names.begin(), names.end(), name) == names.end())
            throw tools::usage_error("--keep-dense: the model has no layer '" + name +
                                     "' to compress; there are" + list);
    if (o.keep_dense->size() == names.size())
        throw tools::usage_error("--keep-dense leaves no layer to compress");
    return *o.keep_dense;
}

model pack(const checkpoint& source, const tools::recipe& recipe,
           const std::set<std::string>& keep_dense, const layer_statistics& statistics,
           pare::thread_pool& run) {
    tools::progress bar("packing " + recipe.text, layer_names(source.architecture()).size());
    return {source, recipe, keep_dense, statistics, run, [&] { bar.advance(); }};
}

/// A network as it came, or without some of its channels, and what recipes need of it.
struct network {
    network(checkpoint c, const options& o, pare::thread_pool& run)
        : source(std::move(c)), keep_dense(kept_dense(o, source)),
          dense(pack(source, {}, keep_dense, {}, run)) {}
    network(network&&) = delete;  // dense points to source

    checkpoint source;
    std::set<std::string> keep_dense;
    model dense;
    std::map<bool, layer_statistics> statistics;  // by whether with inverse Hessian
};

/// What all recipes of a run share.
class workbench {
  public:
    explicit workbench(const options& o)
        : o_(o), threads_(o.threads), whole_(checkpoint(o.model), o, threads_),
          data_(read_images(o.data, source().architecture(), o.limit)) {
        if (o.reestimate_norms && !has_norms(source().architecture()))
            throw tools::usage_error("--reestimate-bn: the batch norms of " + source().name() +
                                     " are folded into its weights, there is none to estimate");
        if (!o.calibration.empty())
            calibration_ = read_images(o.calibration, source().architecture(), n_calibrating);
    }

    void introduce() const;
    const model& dense() const { return whole_.dense; }
    /// That of dense(), which does nothing, and those to run.
    tools::recipe as_stored() const { return tools::as_stored(source().has_compressed()); }
    std::vector<tools::recipe> recipes() const {
        return tools::recipes_for(source().name(), source().has_compressed(), o_.recipes,
                                  o_.default_recipes);
    }
    /// Whether dense() went through the recipe: not where norms are to be fitted to it, or
    /// compressed layers take other inputs.
    bool is_dense(const tools::recipe& recipe) const {
        const bool as_it_came =
            !o_.reestimate_norms && o_.activations == tools::activation_kind::f32;
        return is_dense_as_stored(recipe) && (as_it_came || !source().has_compressed());
    }
    /// The model that went through a recipe.
    model compress(const tools::recipe& recipe);
    row measure(const model& m, const tools::recipe& recipe) const;

  private:
    const checkpoint& source() const { return whole_.source; }
    network& without(const tools::channel_recipe& channels);
    const layer_statistics& statistics_for(network& n, const tools::recipe& recipe);

    const options& o_;
    pare::thread_pool threads_;
    network whole_;
    std::map<tools::channel_recipe, std::vector<std::uint8_t>> kept_;
    std::map<tools::channel_recipe, network> cut_;
    images data_, calibration_;
};

// The network without the channels that a recipe removes.
network& workbench::without(const tools::channel_recipe& r) {
    const auto found = cut_.find(r);
    if (found != cut_.end()) return found->second;
    const network_channels channels = channels_of(source().architecture());
    tools::channel_recipe as_cut = r;  // a repair keeps the same channels
    as_cut.repair = false;
    std::vector<std::uint8_t>& kept = kept_[as_cut];
    if (kept.empty()) kept = select_channels(source(), channels, r, calibration_, threads_);
    if (!r.repair)
        return cut_.try_emplace(r, cut(source(), channels, kept), o_, threads_).first->second;
    checkpoint smaller = cut_and_repair(source(), channels, kept, calibration_, threads_);
    return cut_.try_emplace(r, std::move(smaller), o_, threads_).first->second;
}

const layer_statistics& workbench::statistics_for(network& n, const tools::recipe& recipe) {
    const bool inverse_hessian = tools::needs_gram(recipe);
    layer_statistics& statistics = n.statistics[inverse_hessian];
    if (statistics.empty()) {
        tools::progress bar("calibrating", n_calibration_batches(calibration_));
        statistics = calibrate(n.dense, calibration_, inverse_hessian, [&] { bar.advance(); });
    }
    return statistics;
}

model workbench::compress(const tools::recipe& recipe) {
    network& n = recipe.channels ? without(*recipe.channels) : whole_;
    const tools::recipe rest = tools::without_channels(recipe);
    const layer_statistics none;
    model made = pack(n.source, rest, n.keep_dense,
                      tools::needs_calibration(rest) ? statistics_for(n, rest) : none, threads_);
    made.take_inputs(o_.activations);
    if (o_.reestimate_norms) {
        tools::progress bar("fitting batch norms", n.source.architecture().steps.size());
        made.reestimate_norms(calibration_, [&] { bar.advance(); });
    }
    return made;
}

void workbench::introduce() const {
    const architecture& a = source().architecture();
    std::string kept;
    for (const std::string& name : whole_.keep_dense)
        kept.append(kept.empty() ? "" : ", ").append(name);
    std::printf("%s: %s, %zu layers, left dense: %s; %zu thread%s\n", source().name().c_str(),
                a.name.c_str(), layer_names(a).size(), kept.empty() ? "none" : kept.c_str(),
                o_.threads, o_.threads == 1 ? "" : "s");
    if (const std::size_t n = layer_names(a, true).size(); n != 0)
        std::printf("%zu depthwise layers beside them, which lose channels at most\n", n);
    std::printf("measured on %zu images of %s\n", data_.size(), o_.data.c_str());
    if (o_.reestimate_norms)
        std::printf("batch norms of recipes estimated again on %zu images of %s\n",
                    calibration_.size(), o_.calibration.c_str());
    std::printf("\n");
    std::fflush(stdout);
}

row workbench::measure(const model& m, const tools::recipe& recipe) const {
    row r;
    r.model = source().name();
    r.recipe = recipe.text;
    r.n_integer_layers = m.n_integer_layers();
    r.name = tools::name_with_inputs(recipe.text, r.n_integer_layers, m.layers().size());
    r.threads = o_.threads;
    r.reestimated_norms = o_.reestimate_norms && &m != &dense();
    r.layers = m.report();
    r.method = tools::method_of(recipe, r.layers.sparsity);
    r.each_layer = m.layers();
    r.model_bytes = m.bytes();
    r.multiply_adds = m.architecture().multiply_adds();
    r.n_images = data_.size();
    {
        tools::progress bar("measuring " + recipe.text, data_.size());
        r.quality = evaluate(m, data_, [&](std::size_t n) { bar.advance(n); });
    }
    const model* const both[] = {&dense(), &m};
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
    const auto keep = [&](const model& m, const row& measured) {
        rows.push_back(measured);
        if (!o.save.empty()) m.save(o.save);
    };
    for (const tools::recipe& recipe : recipes) {
        if (bench.is_dense(recipe)) {
            keep(bench.dense(), dense);
            continue;
        }
        const model m = bench.compress(recipe);
        keep(m, bench.measure(m, recipe));
    }
    std::printf("%s\n%s", table(rows).c_str(), verdict(dense, rows).c_str());
    if (!o.json.empty()) write_json(rows, o.json);
    if (!o.html.empty()) tools::write_file(o.html, html(dense, rows));
}

}  // namespace vision
