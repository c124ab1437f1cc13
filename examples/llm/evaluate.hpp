// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_LLM_EVALUATE_HPP
#define PARE_EXAMPLES_LLM_EVALUATE_HPP

#include "dataset.hpp"
#include "model.hpp"

#include <pare/core/buffer.hpp>

#include <functional>
#include <span>
#include <vector>

namespace llm {

/// How well a model predicts a text, and how close it stays to the dense one.
struct quality {
    double nll = 0.0;        ///< mean of -log p(token), nats
    double kl = 0.0;         ///< mean of KL(dense || this), nats
    double agreement = 0.0;  ///< fraction of predictions with the dense model's likeliest token
    std::size_t peak_cache_bytes = 0;
};

/// Logits of the dense model for every prediction of a text, (predictions, vocab).
using reference_logits = pare::buffer<float>;

/// @param reference  empty: becomes this model's logits, and the result compares it with itself;
///                   else what to compare with
/// @param told       called with the number of predictions done
/// @param chunk      tokens that are seen together before the cache is cut: 1 as in decoding
quality evaluate(const model& m, const windows& text, reference_logits& reference,
                 const std::function<void(std::size_t)>& told, const cache_options& o = {},
                 std::size_t chunk = session::max_chunk);

/// Fraction of the questions that the model answers exactly: its likeliest tokens, given the text
/// before, are those of the answer.
double recall(const model& m, const questions& asked, const cache_options& o = {},
              std::size_t chunk = session::max_chunk);

/// Tokens per second, medians of repeated runs of the model alone (no sampling).
struct speed {
    double decode = 0.0;   ///< one token at a time after a prompt
    double prefill = 0.0;  ///< a prompt at once, logits of its last token only
};

/// A model and the cache it runs with.
struct contender {
    const model* m;
    cache_options cache{};
};

/// Runs the contenders by turns, so that all see the same weather on the machine; takes about half
/// a second for each. @param prompt  at least one token; its first 256 at most are used, half of
/// the context at most
std::vector<speed> measure_speeds(std::span<const contender> contenders,
                                  std::span<const token> prompt);

}  // namespace llm

#endif  // PARE_EXAMPLES_LLM_EVALUATE_HPP
