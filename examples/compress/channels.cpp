// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "channels.hpp"

#include "channel_groups.hpp"
#include "common/error.hpp"
#include "common/tensors.hpp"

#include <pare/core/dtype.hpp>
#include <pare/prune/channel_cut.hpp>
#include <pare/prune/channel_scores.hpp>
#include <pare/prune/channel_selection.hpp>
#include <pare/prune/filter_norm.hpp>
#include <pare/prune/geometric_median.hpp>
#include <pare/prune/mean_activation.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace compressor {

namespace {

using operation = pare::prune::channel_operation;

std::size_t cols_of(const tensor& t) { return t.size() / t.shape()[0]; }

std::string about(const tensor& t) { return "tensor '" + std::string(t.name()) + "'"; }

// What a reader was seen to read, if it was.
std::optional<pare::prune::input_sums> find_sums(const tensor& reader, const calibration& inputs) {
    const auto sums = inputs.find(reader.name());
    if (sums && sums->squares.size() != cols_of(reader))
        throw tools::failure(about(reader) + ": the calibration has " +
                             std::to_string(sums->squares.size()) + " inputs, the layer " +
                             std::to_string(cols_of(reader)));
    return sums;
}

pare::prune::input_sums sums_of(const tensor& reader, const calibration& inputs) {
    if (const auto sums = find_sums(reader, inputs)) return *sums;
    throw tools::failure(about(reader) + ": the calibration has no such layer");
}

// The root of the mean square of each channel, as a reader gets it.
std::vector<float> activations(const tensor& reader, std::size_t n_channels,
                               const calibration& inputs) {
    const pare::prune::input_sums sums = sums_of(reader, inputs);
    const std::size_t taps = sums.squares.size() / n_channels;
    std::vector<float> roots;
    for (std::size_t c = 0; c < n_channels; ++c) {
        double sum = 0.0;
        for (const double s : sums.squares.subspan(c * taps, taps)) sum += s;
        roots.push_back(static_cast<float>(
            std::sqrt(sum / static_cast<double>(taps * std::max<std::uint64_t>(sums.tokens, 1)))));
    }
    return roots;
}

std::vector<float> scores_of(tools::criterion_kind by, const tensor& writer,
                             std::span<const float> activations) {
    std::vector<float> memory, scores(writer.shape()[0]);
    const std::vector<float> weights = tools::read_floats(writer.read_whole(memory));
    const pare::prune::channel_observation layer{
        .weights = {weights.data(), scores.size(), cols_of(writer)}, .activations = activations};
    switch (by) {
        case tools::criterion_kind::l1:
            pare::prune::l1_norm{}.score(layer, scores);
            break;
        case tools::criterion_kind::geometric_median:
            pare::prune::geometric_median{}.score(layer, scores);
            break;
        case tools::criterion_kind::activation:
            pare::prune::mean_activation{}.score(layer, scores);
            break;
        default:
            pare::prune::l2_norm{}.score(layer, scores);
    }
    for (const float s : scores)
        if (!pare::is_finite(s))
            throw tools::failure(about(writer) + ": a score of its rows is not finite");
    return scores;
}

/// The groups of one choice, as the library knows them.
class choice_cut {
  public:
    choice_cut(std::span<const tensor> tensors, std::span<const channel_group* const> groups,
               const calibration& inputs)
        : tensors_(tensors), by_(*groups[0]->by->recipe.channels), words_(groups[0]->by->words) {
        for (const channel_group* const g : groups) add(*g, inputs);
    }

    /// (groups) the channels that stay, ascending.
    std::vector<std::vector<std::uint32_t>> channels_left() const {
        using namespace pare::prune;
        const auto graph = tools::value_of(channel_graph::make(operations_), words_);
        std::vector<float> scores(graph.n_classes());
        const std::vector<std::span<const float>> rows(scores_.begin(), scores_.end());
        tools::value_of(channel_scores{}.combine(graph, rows, scores), words_);
        std::vector<std::uint32_t> pools(graph.n_groups(), 0);
        if (by_.scope == tools::scope_kind::layer) std::iota(pools.begin(), pools.end(), 0u);
        std::vector<std::uint8_t> kept(scores.size());
        const channel_selection selection{
            .share = by_.share, .multiple = by_.multiple, .least = 0.1f};
        tools::value_of(selection.select(graph, scores, pools, kept), words_);
        const auto cut = tools::value_of(channel_cut::make(graph, kept), words_);
        std::vector<std::vector<std::uint32_t>> left;
        for (const std::size_t sum : sums_)
            left.emplace_back(cut.kept(sum).begin(), cut.kept(sum).end());
        return left;
    }

  private:
    std::size_t add(const operation& o, std::vector<float> scores = {}) {
        operations_.push_back(o);
        scores_.push_back(std::move(scores));
        return operations_.size() - 1;
    }

    // All writers tied, then read.
    void add(const channel_group& g, const calibration& inputs) {
        std::vector<float> seen;
        if (by_.criterion == tools::criterion_kind::activation)
            seen = activations(tensors_[g.readers[0]], g.n_channels, inputs);
        std::size_t sum = 0;
        for (const std::size_t w : g.writers) {
            const std::size_t from = add(operation::input(cols_of(tensors_[w])));
            const std::size_t rows = add(operation::layer(from, g.n_channels),
                                         scores_of(by_.criterion, tensors_[w], seen));
            sum = w == g.writers[0] ? rows : add(operation::elementwise(sum, rows));
        }
        sums_.push_back(sum);
        for (const std::size_t r : g.readers) {
            const tensor& t = tensors_[r];
            static_cast<void>(find_sums(t, inputs));  // which calibrated recipes will read
            if (by_.repair && sums_of(t, inputs).gram.empty())
                throw tools::failure(about(t) +
                                     ": the calibration has no Gram matrix, which repair needs");
            add(operation::output(
                add(operation::layer(sum, t.shape()[0], cols_of(t) / g.n_channels))));
        }
    }

    std::span<const tensor> tensors_;
    const tools::channel_recipe& by_;
    const std::string& words_;
    std::vector<operation> operations_;
    std::vector<std::vector<float>> scores_;  // (operations)
    std::vector<std::size_t> sums_;           // (groups) the operation that readers read
};

}  // namespace

channels_left cut_channels(std::span<tensor> tensors, std::span<const channel_choice> chosen,
                           const calibration& inputs) {
    const std::vector<channel_group> groups = find_groups(tensors, chosen);
    std::map<std::size_t, channel_loss> losses;  // of tensors
    channels_left all;
    for (const channel_choice& choice : chosen) {
        std::vector<const channel_group*> own;
        for (const channel_group& g : groups)
            if (g.by == &choice && choice.recipe.channels) own.push_back(&g);
        if (own.empty()) continue;
        const auto left = choice_cut(tensors, own, inputs).channels_left();
        for (std::size_t i = 0; i < own.size(); ++i) {
            const channel_group& g = *own[i];
            ++all.n_groups;
            all.n_channels += g.n_channels;
            all.n_kept += left[i].size();
            if (left[i].size() == g.n_channels) continue;
            for (const std::size_t t : g.writers) losses[t].rows = left[i];
            for (const std::size_t t : g.between) losses[t].rows = left[i];
            for (const std::size_t t : g.readers) {
                losses[t].inputs = left[i];
                losses[t].taps = cols_of(tensors[t]) / g.n_channels;
                losses[t].repair = choice.recipe.channels->repair ? &inputs : nullptr;
            }
        }
    }
    for (auto& [i, loss] : losses)
        tensors[i].lose(std::make_shared<const channel_loss>(std::move(loss)));
    return all;
}

}  // namespace compressor
