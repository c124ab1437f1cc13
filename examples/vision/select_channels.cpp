// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "select_channels.hpp"

#include "common/error.hpp"
#include "common/tensors.hpp"
#include "evaluate.hpp"
#include "gradients.hpp"
#include "model.hpp"
#include "widths.hpp"

#include <pare/prune/bn_gamma.hpp>
#include <pare/prune/channel_scores.hpp>
#include <pare/prune/channel_selection.hpp>
#include <pare/prune/filter_norm.hpp>
#include <pare/prune/geometric_median.hpp>
#include <pare/prune/mean_activation.hpp>
#include <pare/prune/taylor.hpp>

#include <algorithm>
#include <cmath>
#include <map>
#include <span>
#include <string>
#include <tuple>

namespace vision {

namespace {

using layer_values = std::map<std::string, std::vector<float>>;

// The mean of |output| of each channel, by layer.
layer_values mean_activations(const checkpoint& whole, const images& from, pare::thread_pool& run) {
    const model dense(whole, {}, {}, {}, run);
    const std::size_t n_classes = whole.architecture().n_classes();
    std::map<std::string, std::vector<double>> sums;
    workspace w = dense.make_workspace(batch);
    std::vector<float> logits(batch * n_classes);
    for (std::size_t first = 0; first < from.size(); first += batch) {
        const std::size_t n = std::min(batch, from.size() - first);
        dense.forward(from, first, w, {logits.data(), n, n_classes}, {},
                      [&](const convolution& c, pare::maps<const float> y) {
                          std::vector<double>& sum = sums[c.name];
                          sum.resize(y.extent(1));
                          for (std::size_t o = 0; o < sum.size(); ++o)
                              for (std::size_t p = 0; p < y.size() / sum.size(); ++p)
                                  sum[o] += std::fabs(static_cast<double>((&y(0, o, 0, 0))[p]));
                      });
    }
    layer_values means;
    for (const auto& [name, sum] : sums) means[name].assign(sum.begin(), sum.end());
    return means;  // but for the number of outputs, which is the same for all channels of a layer
}

// A matrix (channels, ...), and a column for the biases: together what a gate behind the batch norm
// multiplies, for `taylor`.
std::vector<float> joined(const std::vector<float>& weights, const std::vector<float>& biases,
                          std::size_t channels) {
    const std::size_t cols = weights.size() / channels;
    std::vector<float> all;
    for (std::size_t c = 0; c < channels; ++c) {
        const auto row = std::span(weights).subspan(c * cols, cols);
        all.insert(all.end(), row.begin(), row.end());
        all.push_back(biases.empty() ? 0.0f : biases[c]);
    }
    return all;
}

/// What criteria ask of a network on calibration images, by layer.
struct layer_observations {
    layer_values activations;
    layer_values parameters, gradients;  // joined
};

layer_observations observe(tools::criterion_kind kind, const checkpoint& whole, const images& from,
                           pare::thread_pool& run) {
    layer_observations seen;
    if (kind == tools::criterion_kind::activation)
        seen.activations = mean_activations(whole, from, run);
    if (kind != tools::criterion_kind::taylor) return seen;
    const network_parameters parameters = read_parameters(whole);
    const network_gradients all = gradients_of(whole.architecture(), parameters, from, run);
    for (const auto& [name, g] : all.layers) {
        const layer_parameters& p = parameters.at(name);
        seen.parameters[name] = joined(p.weights, p.bias, g.bias.size());
        seen.gradients[name] = joined(g.weights, g.bias, g.bias.size());
    }
    return seen;
}

// Scores of a layer's channels; none where it lacks what the criterion reads.
template <pare::prune::channel_criterion Criterion>
std::vector<float> scores_of(const Criterion& criterion, const checkpoint& whole,
                             const convolution& c, const layer_observations& seen) {
    namespace prune = pare::prune;
    const auto read = [&](const std::string& name) {
        return tools::read_floats(whole.tensor(name).dense());
    };
    const std::size_t rows = whole.tensor(c.name + ".weight").shape()[0];
    const auto by_channel = [&](const std::vector<float>& values) {
        return pare::matrix_view<const float>(values.data(), rows, values.size() / rows);
    };
    std::vector<float> scores(rows), weights, gains;
    prune::channel_observation layer{};
    if constexpr (prune::needs_channel_gradients<Criterion>) {
        layer.weights = by_channel(seen.parameters.at(c.name));
        layer.gradients = by_channel(seen.gradients.at(c.name));
    } else layer.weights = by_channel(weights = read(c.name + ".weight"));
    if constexpr (prune::needs_norm<Criterion>) {
        if (c.norm.empty()) return {};
        layer.gains = gains = read(c.norm + ".weight");
    }
    if constexpr (prune::needs_activations<Criterion>)
        layer.activations = seen.activations.at(c.name);
    criterion.score(layer, scores);
    return scores;
}

std::vector<float> score(tools::criterion_kind kind, const checkpoint& whole, const convolution& c,
                         const layer_observations& seen) {
    const auto by = [&](const auto& criterion) { return scores_of(criterion, whole, c, seen); };
    switch (kind) {
        case tools::criterion_kind::l1:
            return by(pare::prune::l1_norm{});
        case tools::criterion_kind::l2:
            return by(pare::prune::l2_norm{});
        case tools::criterion_kind::bn_gamma:
            return by(pare::prune::bn_gamma{});
        case tools::criterion_kind::taylor:
            return by(pare::prune::taylor{});
        case tools::criterion_kind::geometric_median:
            return by(pare::prune::geometric_median{});
        case tools::criterion_kind::activation:
            return by(pare::prune::mean_activation{});
    }
    return {};
}

// The pool of each group: its own, the only one, or that of the same extents and kind. Kinds are
// what one layer makes, depthwise ones aside, and streams to which several add.
std::vector<std::uint32_t> pools_of(const architecture& a, const network_channels& channels,
                                    tools::scope_kind scope) {
    const pare::prune::channel_graph& g = channels.graph;
    std::vector<std::uint32_t> pools(g.n_groups());
    using kind = std::tuple<std::size_t, std::size_t, bool>;
    std::map<kind, std::uint32_t> numbers;
    for (std::size_t c = 0; c < g.n_classes(); ++c) {
        const std::uint32_t group = g.group(c);
        if (group == pare::prune::channel_graph::fixed) continue;
        if (scope == tools::scope_kind::layer) pools[group] = group;
        if (scope != tools::scope_kind::group) continue;
        const auto first = std::find(channels.writes.begin(), channels.writes.end(),
                                     std::size_t{g.members(c)[0].operation});
        const extents& out = a.steps[static_cast<std::size_t>(first - channels.writes.begin())].out;
        std::size_t n_layers = 0;
        for (const auto& m : g.members(c))
            n_layers +=
                g.operations()[m.operation].what == pare::prune::channel_operation::kind::layer;
        const kind k{out.height, out.width, n_layers > 1};
        pools[group] =
            numbers.try_emplace(k, static_cast<std::uint32_t>(numbers.size())).first->second;
    }
    return pools;
}

}  // namespace

std::vector<std::uint8_t> select_channels(const checkpoint& whole, const network_channels& channels,
                                          const tools::channel_recipe& r, const images& calibration,
                                          pare::thread_pool& run) {
    const architecture& a = whole.architecture();
    const layer_observations seen = observe(r.criterion, whole, calibration, run);
    const std::size_t n_operations = channels.graph.operations().size();
    std::vector<std::vector<float>> scores(n_operations);
    for (std::size_t i = 0; i < a.steps.size(); ++i)
        if (const auto* const c = std::get_if<convolution>(&a.steps[i].what))
            scores[channels.writes[i]] = score(r.criterion, whole, *c, seen);
    if (std::all_of(scores.begin(), scores.end(), [](const auto& s) { return s.empty(); }))
        throw tools::failure("channel:bn_gamma: " + whole.name() + " has no batch norms");

    std::vector<float> classes(channels.graph.n_classes());
    const std::vector<std::span<const float>> rows(scores.begin(), scores.end());
    tools::value_of(
        pare::prune::channel_scores{.relative = r.criterion != tools::criterion_kind::bn_gamma}
            .combine(channels.graph, rows, classes),
        whole.name());
    std::vector<std::uint8_t> kept(classes.size());
    const pare::prune::channel_selection selection{
        .share = r.share, .multiple = r.multiple, .least = 0.1f};
    const auto keep = [&](std::span<const std::size_t> counts) {
        tools::value_of(selection.select_counts(channels.graph, classes, counts, kept),
                        whole.name());
        return kept;
    };
    if (r.scope == tools::scope_kind::pagcp)
        return cut_as_loss_allows(whole, channels, r.share, keep, calibration, run);
    if (r.scope == tools::scope_kind::pre_cropping)
        return crop_before(whole, channels, r.share, keep);
    tools::value_of(selection.select(channels.graph, classes, pools_of(a, channels, r.scope), kept),
                    whole.name());
    return kept;
}

}  // namespace vision
