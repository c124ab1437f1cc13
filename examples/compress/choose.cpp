// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "choose.hpp"

#include "common/error.hpp"

#include <pare/allocate/evo_press.hpp>
#include <pare/allocate/greedy.hpp>

#include <algorithm>
#include <limits>
#include <numeric>
#include <string>

namespace compressor {

namespace {

using pare::allocate::level;

// The candidates that no smaller one is as good as, ascending in bytes.
std::vector<std::size_t> front_of(const std::vector<measured>& candidates) {
    std::vector<std::size_t> order(candidates.size()), front;
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
        const measured &x = candidates[a], &y = candidates[b];
        return x.report.bytes != y.report.bytes ? x.report.bytes < y.report.bytes
                                                : x.error < y.error;
    });
    for (const std::size_t c : order)
        if (front.empty() || candidates[c].error < candidates[front.back()].error)
            front.push_back(c);
    return front;
}

}  // namespace

std::vector<std::size_t> choose(std::span<const std::vector<measured>> layers,
                                std::uint64_t bytes) {
    std::vector<std::vector<std::size_t>> fronts;
    std::size_t n_levels = 0;
    std::uint64_t least = 0;
    for (const auto& candidates : layers) {
        fronts.push_back(front_of(candidates));
        n_levels = std::max(n_levels, fronts.back().size());
        least += candidates[fronts.back()[0]].report.bytes;
    }
    if (least > bytes)
        throw tools::failure("budget: the smallest candidates of the layers take " +
                             std::to_string(least) + " bytes, and there are " +
                             std::to_string(bytes) + " for them");

    std::vector<std::uint64_t> table(layers.size() * n_levels,
                                     std::numeric_limits<std::uint64_t>::max());
    for (std::size_t l = 0; l < layers.size(); ++l)
        for (std::size_t k = 0; k < fronts[l].size(); ++k)
            table[l * n_levels + k] = layers[l][fronts[l][k]].report.bytes;
    const pare::allocate::choices of{{table.data(), layers.size(), n_levels}, bytes};
    const auto loss = [&](std::span<const level> levels, double /*effort*/) {
        double sum = 0.0;
        for (std::size_t l = 0; l < levels.size(); ++l)
            sum += n_weights(layers[l][0]) * layers[l][fronts[l][levels[l]]].error;
        return sum;
    };
    std::vector<level> levels(layers.size(), 0);
    tools::value_of(pare::allocate::greedy{}.search(of, levels, loss), "budget");
    tools::value_of(pare::allocate::evo_press{}.search(of, levels, loss), "budget");

    std::vector<std::size_t> chosen;
    for (std::size_t l = 0; l < levels.size(); ++l) chosen.push_back(fronts[l][levels[l]]);
    return chosen;
}

}  // namespace compressor
