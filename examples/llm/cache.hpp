// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_LLM_CACHE_HPP
#define PARE_EXAMPLES_LLM_CACHE_HPP

#include "common/kv_recipe.hpp"
#include "config.hpp"

#include <pare/core/tensor_view.hpp>
#include <pare/core/thread_pool.hpp>
#include <pare/kv/rotary.hpp>
#include <pare/kv/store.hpp>

#include <cstddef>
#include <memory>
#include <string>

namespace llm {

/// What a session keeps its keys and values in.
struct cache_options {
    tools::kv_recipe recipe{};
    std::size_t tokens = 0;  ///< budget per head; of `full`: none
};

/// A key/value cache whose policy was chosen at run time: the one place where the tool erases the
/// library's compile-time types. Functions throw tools::failure when the library refuses.
class cache {
  public:
    virtual ~cache() = default;
    /// keys, values: (tokens, kv_heads * head_dim), the next tokens of a layer.
    virtual void append(std::size_t layer, pare::matrix_view<const float> keys,
                        pare::matrix_view<const float> values) = 0;
    /// queries, out: (tokens, heads * head_dim), of the tokens just appended.
    virtual void attend(std::size_t layer, pare::matrix_view<const float> queries,
                        pare::matrix_view<float> out, pare::thread_pool& run) = 0;
    /// After every step: where the recipe says so by now, turns the kept keys to positions without
    /// gaps. @return the position of the next token
    virtual std::size_t renumber(const pare::kv::rotary& turn) = 0;
    virtual void clear() = 0;
    /// Remembers the present state; rewind() goes back to it.
    virtual void mark() = 0;
    virtual void rewind() = 0;
    virtual std::size_t peak_bytes() const = 0;
    /// What is kept, in sequence 0.
    virtual const pare::kv::store& tokens() const = 0;
};

/// @param capacity  tokens of the longest sequence
/// @param chunk     tokens of one append() at most
std::unique_ptr<cache> make_cache(const config& shape, const cache_options& o, std::size_t capacity,
                                  std::size_t chunk);

/// Bytes that the same cache takes for `tokens` tokens without a budget.
std::size_t full_bytes(const config& shape, const tools::kv_recipe& recipe, std::size_t tokens);
/// The budget in tokens that stays within `bytes`. @throws tools::failure when not one fits
std::size_t tokens_within(const config& shape, const tools::kv_recipe& recipe, std::size_t bytes,
                          std::size_t chunk);

}  // namespace llm

#endif  // PARE_EXAMPLES_LLM_CACHE_HPP
