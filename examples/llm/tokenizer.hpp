// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_LLM_TOKENIZER_HPP
#define PARE_EXAMPLES_LLM_TOKENIZER_HPP

#include "checkpoint.hpp"

#include <filesystem>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace llm {

/// Text to token ids and back: bytes, or the byte-pair vocabulary of a llama2.c tokenizer file
/// (int32 longest length; for each token a float score, an int32 length and the bytes).
class tokenizer {
  public:
    /// Every byte is its own token.
    static tokenizer bytes();
    /// @throws tools::failure when the file is no vocabulary of `vocab_size` tokens
    static tokenizer open(const std::filesystem::path& file, std::size_t vocab_size);
    /// `given` if not empty; bytes where the model's configuration says so; else tokenizer.bin or
    /// the only tok*.bin beside the model.
    /// @throws tools::failure when there is none
    static tokenizer for_model(const checkpoint& model, const std::filesystem::path& given);

    /// As llama2.c: begin-of-text, a space, then the pair of best score merged until none is left.
    std::vector<token> encode(std::string_view text) const;
    /// The bytes a token stands for; `previous` decides whether its leading space is one.
    std::string decode(token previous, token id) const;
    /// Whether texts begin with token 1, and end where the model says 1 or 2.
    bool has_markers() const { return !pieces_.empty(); }

  private:
    std::vector<std::string> pieces_;  // empty: bytes
    std::vector<float> scores_;
    std::unordered_map<std::string, token> ids_;
};

inline constexpr token begin_of_text = 1;
inline constexpr token end_of_text = 2;

}  // namespace llm

#endif  // PARE_EXAMPLES_LLM_TOKENIZER_HPP
