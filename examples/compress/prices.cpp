// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "prices.hpp"

#include "common/error.hpp"
#include "common/terminal.hpp"

#include <cmath>

namespace compressor {

namespace {

constexpr double picosecond = 1e-12;

std::uint64_t in_picoseconds(double seconds) {
    return static_cast<std::uint64_t>(std::llround(seconds / picosecond));
}

}  // namespace

prices price_in_bytes(std::span<const layer> layers, std::span<const std::vector<measured>> are,
                      const budget& within, std::size_t other_bytes) {
    prices p{{}, 0, [](std::uint64_t bytes) { return std::to_string(bytes) + " bytes"; }};
    std::size_t n_weights = 0;
    for (std::size_t l = 0; l < layers.size(); ++l) {
        n_weights += layers[l].from.size();
        auto& costs = p.of.emplace_back();
        for (const measured& is : are[l]) costs.push_back(is.report.bytes);
    }
    if (within.bits_per_weight) {
        const double bits = *within.bits_per_weight * static_cast<double>(n_weights);
        p.budget = static_cast<std::uint64_t>(bits / 8.0);
        return p;
    }
    if (other_bytes > *within.bytes)
        throw tools::failure("budget: the tensors that stay dense take " +
                             std::to_string(other_bytes) + " bytes alone");
    p.budget = *within.bytes - other_bytes;
    return p;
}

prices price_in_time(std::span<const layer> layers, std::span<const std::vector<measured>> are,
                     const budget& within, const times& t) {
    prices p{{}, 0, [](std::uint64_t n) {
                 return tools::fixed(1e6 * picosecond * static_cast<double>(n), 2) +
                        " microseconds";
             }};
    double dense = 0.0;
    for (std::size_t l = 0; l < layers.size(); ++l) {
        const auto& [from, recipes] = layers[l];
        auto& costs = p.of.emplace_back();
        for (std::size_t c = 0; c < recipes.size(); ++c)
            costs.push_back(are[l][c].refused ? 0 : in_picoseconds(t.of(from, recipes[c])));
        dense += t.of(from, {});
    }
    p.budget = in_picoseconds(dense / *within.speed);
    return p;
}

}  // namespace compressor
