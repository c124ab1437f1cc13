// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "widths.hpp"

#include "calibrate.hpp"
#include "common/error.hpp"
#include "evaluate.hpp"
#include "gradients.hpp"

#include <pare/allocate/pagcp.hpp>
#include <pare/allocate/pre_cropping.hpp>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <string>
#include <utility>

namespace vision {

namespace {

namespace allocate = pare::allocate;
using graph = pare::prune::channel_graph;
using sizes = std::vector<std::size_t>;

sizes group_sizes(const graph& g) {
    sizes made(g.n_groups());
    for (std::size_t c = 0; c < g.n_classes(); ++c)
        if (g.group(c) != graph::fixed) ++made[g.group(c)];
    return made;
}

double multiply_adds(const graph& g, const std::vector<std::uint8_t>& kept) {
    return static_cast<double>(g.multiply_adds(kept));
}

/// What pre_cropping is told of a network: each group is a width, and a layer that reads or writes
/// several groups is one layer for each pair of them.
struct cropped_network {
    cropped_network(const architecture& a, const network_channels& channels) {
        for (const std::size_t n : group_sizes(channels.graph)) widths.push_back({n});
        for (std::size_t i = 0; i < a.steps.size(); ++i)
            if (const auto* const c = std::get_if<convolution>(&a.steps[i].what))
                add(*c, parts_of(channels.graph, channels.reads[i]),
                    parts_of(channels.graph, channels.writes[i]));
    }

    std::vector<allocate::width> widths;  // (groups), then what is fixed
    std::vector<allocate::cropped_layer> layers;
    std::vector<std::string> names;  // (layers) of their convolutions
    std::vector<double> least;       // (layers) one weight of each

  private:
    sizes parts_of(const graph& g, std::size_t operation) {
        std::map<std::uint32_t, std::size_t> found;
        for (const std::uint32_t c : g.classes(operation)) ++found[g.group(c)];
        sizes parts;
        for (const auto& [group, n] : found) {
            if (group == graph::fixed) widths.push_back({n, true});
            parts.push_back(group == graph::fixed ? widths.size() - 1 : group);
        }
        return parts;
    }
    void add(const convolution& c, const sizes& from, const sizes& to) {
        const std::size_t taps = c.over.kernel.height * c.over.kernel.width;
        for (const std::size_t x : from)
            for (const std::size_t y : to) {
                if (c.depthwise && x != y) continue;
                layers.push_back({x, y, taps, 1.0, c.depthwise});
                names.push_back(c.name);
                least.push_back(1.0 / static_cast<double>(taps * widths[x].channels *
                                                          (c.depthwise ? 1 : widths[y].channels)));
            }
    }
};

/// What pagcp asks of a network whose groups are cut, 5 % of a group's channels a level.
class cut_groups {
  public:
    using level = allocate::level;
    static constexpr level n_levels = 20;

    cut_groups(const checkpoint& whole, const network_channels& channels, const keep_counts& keep,
               const images& calibration, double share, pare::thread_pool& run)
        : whole_(whole), channels_(channels), keep_(keep),
          seen_(first_of(calibration, n_calibration_images)), run_(run),
          all_(group_sizes(channels.graph)), last_(all_.size()),
          most_((1.0 - share) * cost(std::vector<level>(all_.size()))) {}

    std::size_t n_groups() const { return all_.size(); }
    std::vector<std::uint8_t> kept_at(std::span<const level> at) const {
        sizes counts = all_;
        for (std::size_t i = 0; i < at.size(); ++i) counts[i] -= all_[i] * at[i] / n_levels;
        return keep_(counts);
    }
    double cost(std::span<const level> at) const {
        return multiply_adds(channels_.graph, kept_at(at));
    }
    bool enough(std::span<const level> at) const { return cost(at) <= most_; }
    double loss(std::span<const level> at);

  private:
    const checkpoint& whole_;
    const network_channels& channels_;
    const keep_counts& keep_;
    images seen_;
    pare::thread_pool& run_;
    sizes all_;                                   // (groups)
    std::vector<level> last_;                     // measured
    double most_;                                 // multiply-adds that may be left
    std::map<std::vector<level>, double> known_;  // walks begin alike
};

// Infinite, which is too much, for what is cut deeper than needed.
double cut_groups::loss(std::span<const level> at) {
    const std::vector<level> now(at.begin(), at.end());
    const bool deeper =
        now != last_ && std::equal(now.begin(), now.end(), last_.begin(), std::greater_equal<>());
    if (deeper && enough(last_)) return std::numeric_limits<double>::infinity();
    last_ = now;
    const auto [found, is_new] = known_.try_emplace(now);
    if (is_new) {
        const checkpoint smaller = cut(whole_, channels_, kept_at(at));
        found->second = evaluate(model(smaller, {}, {}, {}, run_), seen_).nll;
    }
    return found->second;
}

}  // namespace

std::vector<std::uint8_t> crop_before(const checkpoint& whole, const network_channels& channels,
                                      double share, const keep_counts& keep) {
    const architecture& a = whole.architecture();
    cropped_network net(a, channels);
    sizes counts(net.widths.size());
    std::vector<std::uint8_t> kept(channels.graph.n_classes(), 1);
    const double most = (1.0 - share) * multiply_adds(channels.graph, kept);
    synflow_densities(a, read_parameters(whole), 0.98, [&](const layer_densities& densities) {
        for (std::size_t l = 0; l < net.layers.size(); ++l)  // of small layers one weight stays
            net.layers[l].density = std::max(densities.at(net.names[l]), net.least[l]);
        tools::value_of(allocate::pre_cropping{}.crop(net.widths, net.layers, counts),
                        "channel:...:pre_cropping: " + whole.name());
        kept = keep(std::span(counts).first(channels.graph.n_groups()));
        return multiply_adds(channels.graph, kept) > most;
    });
    if (multiply_adds(channels.graph, kept) > most)
        throw tools::failure("channel:...:pre_cropping: that share of " + whole.name() +
                             " cannot be removed");
    return kept;
}

std::vector<std::uint8_t> cut_as_loss_allows(const checkpoint& whole,
                                             const network_channels& channels, double share,
                                             const keep_counts& keep, const images& calibration,
                                             pare::thread_pool& run) {
    using levels = std::vector<allocate::level>;
    cut_groups groups(whole, channels, keep, calibration, share, run);
    levels at(groups.n_groups()), best;
    double low = 0.0, high = std::log(1e3);  // of how much the loss may grow with each group
    for (int i = 0; i < 9; ++i) {
        const double growth = i == 0 ? high : 0.5 * (low + high), first = std::expm1(growth);
        const allocate::pagcp by{.first = first,
                                 .total = std::pow(1.0 + first, static_cast<double>(at.size())),
                                 .share = 1.0};  // the growth decides, so no cut is undone
        tools::value_of(
            by.search(
                1, cut_groups::n_levels, at,
                [&](auto now, std::span<double> losses) { losses[0] = groups.loss(now); },
                [&](auto now) { return groups.cost(now); }),
            "channel:...:pagcp: " + whole.name());
        const bool enough = groups.enough(at);
        if (enough) best = at;
        (enough ? high : low) = growth;
        if (best.empty())
            throw tools::failure("channel:...:pagcp: that share of " + whole.name() +
                                 " cannot be removed");
    }
    return groups.kept_at(best);
}

}  // namespace vision
