// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_TESTS_ALLOCATE_TOYS_HPP
#define PARE_TESTS_ALLOCATE_TOYS_HPP

#include <pare/allocate/concepts.hpp>
#include <pare/core/random.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

namespace pare::testing {

using levels = std::vector<allocate::level>;

/// A model whose layers are only numbers.
struct toy {
    std::size_t n_layers, n_levels;
    std::vector<std::uint64_t> bytes;  // (layers, levels)
    std::uint64_t budget;

    allocate::choices choices() const { return {{bytes.data(), n_layers, n_levels}, budget}; }
    std::uint64_t bytes_of(std::span<const allocate::level> at) const {
        std::uint64_t sum = 0;
        for (std::size_t l = 0; l < n_layers; ++l) sum += bytes[l * n_levels + at[l]];
        return sum;
    }
    levels cheapest() const { return levels(n_layers); }
    /// Of all levels that fit.
    double least(auto&& loss) const {
        double best = INFINITY;
        levels at = cheapest();
        for (std::size_t l = 0; l < n_layers;) {
            if (bytes_of(at) <= budget) best = std::min<double>(best, loss(at, 1.0));
            for (l = 0; l < n_layers && ++at[l] == n_levels; ++l) at[l] = 0;
        }
        return best;
    }
};

/// Level k of layer l takes k units; a layer is as large as its unit.
inline toy sized(std::vector<std::uint64_t> units, std::size_t n_levels, std::uint64_t budget) {
    toy made{units.size(), n_levels, {}, budget};
    for (const std::uint64_t unit : units)
        for (std::size_t k = 0; k < n_levels; ++k) made.bytes.push_back(unit * k);
    return made;
}

/// Layer l loses weights[l] / 2^level: a sum of convex losses. Powers of two and small integers, so
/// sums are exact.
struct convex {
    std::vector<double> weights;
    double operator()(std::span<const allocate::level> at, double /*effort*/) const {
        double sum = 0.0;
        for (std::size_t l = 0; l < at.size(); ++l)
            sum += std::ldexp(weights[l], -static_cast<int>(at[l]));
        return sum;
    }
};

inline convex random_convex(std::size_t n_layers, std::uint64_t seed) {
    convex made;
    pare::random random(seed);
    for (std::size_t l = 0; l < n_layers; ++l)
        made.weights.push_back(static_cast<double>(1 + random.below(1000)));
    return made;
}

/// Layers 0 and 1 help together alone, the others a little each: what steps of one layer miss.
inline double pair_or_nothing(std::span<const allocate::level> at, double /*effort*/) {
    double sum = at[0] == 1 && at[1] == 1 ? 0.0 : 100.0;
    for (std::size_t l = 2; l < at.size(); ++l) sum += at[l] == 1 ? 0.0 : 1.0;
    return sum;
}

}  // namespace pare::testing

#endif  // PARE_TESTS_ALLOCATE_TOYS_HPP
