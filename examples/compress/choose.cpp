// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "choose.hpp"

#include "common/error.hpp"

#include <pare/allocate/evo_press.hpp>
#include <pare/allocate/greedy.hpp>

#include <algorithm>
#include <cstdint>
#include <limits>

namespace compressor {

namespace {

using pare::allocate::level;

// The candidates that fit and that no cheaper one is as good as, ascending in what they cost.
std::vector<std::size_t> front_of(const std::vector<measured>& candidates,
                                  const std::vector<std::uint64_t>& costs) {
    std::vector<std::size_t> order, front;
    for (std::size_t c = 0; c < candidates.size(); ++c)
        if (!candidates[c].refused) order.push_back(c);
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
        return costs[a] != costs[b] ? costs[a] < costs[b]
                                    : candidates[a].error < candidates[b].error;
    });
    for (const std::size_t c : order)
        if (front.empty() || candidates[c].error < candidates[front.back()].error)
            front.push_back(c);
    return front;
}

}  // namespace

std::vector<std::size_t> choose(std::span<const std::vector<measured>> layers, const prices& p) {
    std::vector<std::vector<std::size_t>> fronts;
    std::size_t n_levels = 0;
    std::uint64_t least = 0;
    for (std::size_t l = 0; l < layers.size(); ++l) {
        fronts.push_back(front_of(layers[l], p.of[l]));
        n_levels = std::max(n_levels, fronts[l].size());
        least += p.of[l][fronts[l][0]];
    }
    if (least > p.budget)
        throw tools::failure("budget: the cheapest candidates of the layers take " +
                             p.in_words(least) + ", of " + p.in_words(p.budget) + " for them");

    std::vector<std::uint64_t> table(layers.size() * n_levels,
                                     std::numeric_limits<std::uint64_t>::max());
    for (std::size_t l = 0; l < layers.size(); ++l)
        for (std::size_t k = 0; k < fronts[l].size(); ++k)
            table[l * n_levels + k] = p.of[l][fronts[l][k]];
    const pare::allocate::choices of{{table.data(), layers.size(), n_levels}, p.budget};
    const auto loss = [&](std::span<const level> levels, double /*effort*/) {
        double sum = 0.0;
        for (std::size_t l = 0; l < levels.size(); ++l)
            sum += n_weights(layers[l][fronts[l][0]]) * layers[l][fronts[l][levels[l]]].error;
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
