// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_LLM_ATTENTION_HPP
#define PARE_EXAMPLES_LLM_ATTENTION_HPP

#include "config.hpp"

#include <pare/core/buffer.hpp>
#include <pare/core/tensor_view.hpp>
#include <pare/core/thread_pool.hpp>

#include <cstddef>
#include <span>
#include <vector>

namespace llm {

/// Turns queries or keys (tokens, heads * head_dim), the first of which stands at `position`, by
/// their positions: pairs of neighbours (interleaved) or of the halves of a head.
class rotary {
  public:
    /// @param frequencies  (head_dim / 2) angle per position
    rotary(std::span<const double> frequencies, std::size_t n_positions, bool interleaved);
    void apply(pare::matrix_view<float> heads, std::size_t position) const;

  private:
    std::size_t half_;
    bool interleaved_;
    std::vector<float> cosines_, sines_;  // (n_positions, head_dim / 2)
};

/// Keys and values of all layers in f32. Keys lie feature by feature, (head_dim, capacity), so that
/// the scores of consecutive tokens fill a vector; values token by token.
class kv_cache {
  public:
    static constexpr std::size_t block = 64;  ///< tokens that attend() handles at a time

    kv_cache(const config& shape, std::size_t capacity);
    std::size_t capacity() const { return capacity_; }

    /// Stores keys and values (tokens, kv_heads * head_dim) of one layer from `position` on.
    void store(std::size_t layer, std::size_t position, pare::matrix_view<const float> keys,
               pare::matrix_view<const float> values);

    /// Causal attention: query t (at `position` + t) over all tokens up to its own.
    /// queries, out: (tokens, heads * head_dim).
    void attend(std::size_t layer, std::size_t position, pare::matrix_view<const float> queries,
                pare::matrix_view<float> out, pare::thread_pool& run) const;

  private:
    /// A query of one key/value head: (head_dim) floats in and out, and the tokens it sees.
    struct query {
        const float* in;
        float* out;
        std::size_t n_tokens;
    };
    /// Up to Q queries at once, so that each key and value is read once for all of them.
    template <std::size_t Q>
    void attend_some(std::span<const query> queries, const float* keys, const float* values) const;

    std::size_t n_heads_, n_kv_heads_, head_dim_;
    std::size_t padded_dim_;  // of a value: head_dim, to a multiple of 16
    std::size_t capacity_;    // a multiple of block
    pare::buffer<float> keys_, values_;
};

}  // namespace llm

#endif  // PARE_EXAMPLES_LLM_ATTENTION_HPP
