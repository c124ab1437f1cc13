// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_LLM_ALLOCATE_HPP
#define PARE_EXAMPLES_LLM_ALLOCATE_HPP

#include "dataset.hpp"
#include "model.hpp"

#include <pare/allocate/concepts.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace llm {

/// Which of several models each linear layer is taken from.
struct allocation {
    std::vector<pare::allocate::level> levels;  ///< (blocks, n_slots): indices of the models
    pare::allocate::outcome outcome;            ///< the loss is KL(dense || mixed)
};

/// How a mixture is searched for.
struct allocation_search {
    std::chrono::nanoseconds deadline;
    std::uint64_t seed = 1;  ///< of evo_press
    bool greedy = false;     ///< pare::allocate::greedy, from the smallest model on
};

/// Searches for the mixture of models whose text is closest to the dense one's: at most `bytes` in
/// the linear layers. evo_press begins with the largest model that fits.
/// @param from   ascending in bytes, all of the same checkpoint
/// @param mixed  a model of it too, which becomes the mixture
/// @param told   called after each generation, n_generations at most, or step of greedy
/// @throws tools::failure when not even the smallest model fits
allocation allocate(std::span<const model* const> from, const model& dense, const windows& text,
                    std::uint64_t bytes, const allocation_search& how, model& mixed,
                    const std::function<void()>& told);

inline constexpr std::size_t n_generations = 400;

}  // namespace llm

#endif  // PARE_EXAMPLES_LLM_ALLOCATE_HPP
