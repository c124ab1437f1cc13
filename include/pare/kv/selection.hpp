// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KV_SELECTION_HPP
#define PARE_KV_SELECTION_HPP

#include "../core/config.hpp"
#include "block_layout.hpp"
#include "shape.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace pare::kv::inline PARE_ARCH_NAMESPACE {

/// The kept tokens of one layer that attention reads: bit t of a ledger row's word says whether
/// token t is read, and a row whose word is 0 is not touched at all. A view of words, one for each
/// row, which are counted from 0 in each KV head and tier.
class selection {
  public:
    static constexpr std::uint32_t everything = static_cast<std::uint32_t>(-1);

    selection() noexcept = default;
    /// @param words  (n_words(s, tokens))
    selection(const shape& s, std::size_t tokens, std::span<std::uint32_t> words) noexcept
        : words_(words.data()), tiers_(s.tiers), rows_(rows_for(tokens)) {
        PARE_ASSERT(words.size() == n_words(s, tokens), "a word for each row");
    }

    /// @param tokens  of one head and tier at most
    static std::size_t n_words(const shape& s, std::size_t tokens) noexcept {
        return s.kv_heads * s.tiers * rows_for(tokens);
    }
    std::span<std::uint32_t> rows(std::size_t kv_head, std::size_t tier) const noexcept {
        return {words_ + (kv_head * tiers_ + tier) * rows_, rows_};
    }
    /// Tokens of one head and tier at most.
    std::size_t tokens() const noexcept { return rows_ * block_tokens; }

  private:
    static std::size_t rows_for(std::size_t tokens) noexcept {
        return (tokens + block_tokens - 1) / block_tokens;
    }

    std::uint32_t* words_ = nullptr;
    std::size_t tiers_ = 1, rows_ = 0;
};

}  // namespace pare::kv::inline PARE_ARCH_NAMESPACE

#endif  // PARE_KV_SELECTION_HPP
