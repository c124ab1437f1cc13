// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "allocate.hpp"

#include "common/error.hpp"
#include "evaluate.hpp"

#include <pare/allocate/evo_press.hpp>
#include <pare/allocate/greedy.hpp>

#include <algorithm>
#include <map>
#include <utility>

namespace llm {

namespace {

using pare::allocate::level;

/// A part of a text, and what the dense model says of it.
struct sample {
    windows text;
    reference_logits reference;
};

}  // namespace

allocation allocate(std::span<const model* const> from, const model& dense, const windows& text,
                    std::uint64_t bytes, const allocation_search& how, model& mixed,
                    const std::function<void()>& told) {
    const std::size_t n_layers = dense.shape().n_layers * n_slots;
    const auto place = [](std::size_t l) {
        return std::pair(l / n_slots, static_cast<slot>(l % n_slots));
    };
    std::vector<std::uint64_t> table(n_layers * from.size());
    for (std::size_t l = 0; l < n_layers; ++l)
        for (std::size_t k = 0; k < from.size(); ++k) {
            const auto [block, s] = place(l);
            table[l * from.size() + k] = from[k]->weights(block, s).report().bytes;
        }
    std::size_t start = from.size();
    while (start > 0 && from[start - 1]->report().bytes > bytes) --start;
    if (start == 0) throw tools::failure("not even the smallest of the recipes fits the budget");

    const auto mix = [&](std::span<const level> levels) {
        for (std::size_t l = 0; l < n_layers; ++l) {
            const auto [block, s] = place(l);
            mixed.take(*from[levels[l]], block, s);
        }
    };
    std::map<double, sample> samples;  // by effort
    const auto loss = [&](std::span<const level> levels, double effort) {
        sample& part = samples[effort];
        if (part.text.empty()) {
            part.text = text;
            const double n = effort * static_cast<double>(n_predictions(text));
            limit_predictions(part.text, std::max<std::size_t>(1, static_cast<std::size_t>(n)));
            evaluate(dense, part.text, part.reference, [](std::size_t) {});
        }
        mix(levels);
        return evaluate(mixed, part.text, part.reference, [](std::size_t) {}).kl;
    };
    allocation found;
    found.levels.assign(n_layers, how.greedy ? level{0} : static_cast<level>(start - 1));
    const auto observe = [&](const pare::allocate::outcome& so_far) {
        if (so_far.rounds > 0) told();
        return true;
    };
    const auto search = [&](const auto& by) {
        return by.search({{table.data(), n_layers, from.size()}, bytes}, found.levels, loss,
                         observe);
    };
    found.outcome = tools::value_of(
        how.greedy ? search(pare::allocate::greedy{how.deadline})
                   : search(pare::allocate::evo_press{.generations = n_generations,
                                                      .offspring = 16,
                                                      .narrowing = {{{4, 1.0 / 8}, {2, 1.0 / 2}}},
                                                      .deadline = how.deadline,
                                                      .seed = how.seed}),
        "allocation");
    mix(found.levels);
    return found;
}

}  // namespace llm
