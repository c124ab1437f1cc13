// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_LLM_DATASET_HPP
#define PARE_EXAMPLES_LLM_DATASET_HPP

#include "checkpoint.hpp"
#include "tokenizer.hpp"

#include <filesystem>
#include <optional>
#include <utility>
#include <vector>

namespace llm {

/// Token ids, one row per window: the model sees all but the last, and predicts all but the first.
using windows = std::vector<std::vector<token>>;

/// Reads ids below vocab_size. A safetensors file holds `ids` (or `samples`), U8, I32 or I64: one
/// document per row, or with `offsets` one from each offset to the next, each cut after `context`
/// tokens. A text file holds numbers between blanks, one stream.
/// @throws tools::failure
windows read_ids(const std::filesystem::path& file, std::size_t vocab_size, std::size_t context);

/// Documents that ask for what they have said before.
struct questions {
    windows documents;
    /// Per document, where answers lie in it: [first, end).
    std::vector<std::vector<std::pair<std::size_t, std::size_t>>> answers;
};

/// Reads `recall_ids` (documents, tokens) and `recall_answers` (documents, questions, 2; negative
/// where there are fewer) of a safetensors file; nothing where it has none. @throws tools::failure
std::optional<questions> read_questions(const std::filesystem::path& file, std::size_t vocab_size);

/// A text as one stream. @throws tools::failure
windows read_text(const std::filesystem::path& file, const tokenizer& words, std::size_t context);

/// A stream in windows of context + 1 tokens; a rest is left out, unless it is all there is.
windows cut_stream(const std::vector<token>& stream, std::size_t context);

/// Keeps the first windows, the last of them cut, so that at most `n` tokens are predicted.
void limit_predictions(windows& w, std::size_t n);
std::size_t n_predictions(const windows& w);

}  // namespace llm

#endif  // PARE_EXAMPLES_LLM_DATASET_HPP
