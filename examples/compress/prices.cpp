// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "prices.hpp"

#include "common/error.hpp"
#include "common/terminal.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace compressor {

namespace {

constexpr double picosecond = 1e-12;

// More than a number holds is more than all layers can take: see longest_time.
std::uint64_t in_picoseconds(double seconds) {
    constexpr double most = 9e18;
    return static_cast<std::uint64_t>(std::llround(std::min(seconds / picosecond, most)));
}

// Unaligned blocks are all that a shape refuses.
bool allows(std::span<const std::size_t> shape, const tools::recipe& r) {
    return r.pattern != tools::pattern_kind::unaligned_block ||
           std::cmp_greater_equal(shape[0], r.block_rows);
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

void check_timed(std::span<const layer> layers, const times& t) {
    for (const auto& [from, recipes] : layers) {
        static_cast<void>(t.of(from, {}));
        for (const tools::recipe& r : recipes)
            if (allows(from.shape(), r)) static_cast<void>(t.of(from, r));
    }
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
