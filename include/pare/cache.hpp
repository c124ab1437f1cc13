// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_CACHE_HPP
#define PARE_CACHE_HPP

#include "core/buffer.hpp"
#include "core/executor.hpp"
#include "core/status.hpp"
#include "core/tensor_view.hpp"
#include "kernel/attention.hpp"
#include "kv/evict.hpp"
#include "kv/store.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace pare::kv::inline PARE_ARCH_NAMESPACE {

/// A key/value cache that keeps a policy's budget: a store, its attention and the evictions after
/// it. All memory is taken by make(); nothing allocates afterwards.
///
/// Each layer of each step: append() the new tokens, then attend() with their queries. Attention
/// sees what was kept before, and the new tokens; afterwards what is over the budget leaves.
/// Decoding therefore sees budget + 1 tokens, as A2SF and H2O define it.
template <class Policy>
class cache {
  public:
    /// @param layouts    one for all layers, or one for each
    /// @param max_chunk  tokens of one append() at most
    /// @param pool       memory of the tokens; must outlive the cache
    static result<cache> make(const shape& s, std::span<const block_layout> layouts,
                              const Policy& policy, std::size_t max_chunk, pool& pool) noexcept {
        if (const status ok = check(policy, s.layers); !ok) return ok.error();
        auto tokens = store::make(s, layouts, pool);
        if (!tokens) return tokens.error();
        // The most tokens that a head can have between two evictions.
        std::size_t most = 0;
        for (std::size_t l = 0; l < s.layers; ++l) {
            std::size_t n = policy.budget.tokens(l, s.layers);
            if constexpr (shared_budget<decltype(policy.budget)>)
                n += (s.kv_heads - 1) * (n - policy.budget.floor(l, s.layers));
            most = n > most ? n : most;
        }
        most += policy.every - 1 + max_chunk;
        auto attention = attention_scratch::make(s, most);
        if (!attention) return attention.error();
        auto evictions = eviction_scratch::make(s, most);
        if (!evictions) return evictions.error();
        auto weights = buffer<float>::make(max_chunk);
        auto lengths = buffer<std::size_t>::make(s.sequences * s.layers);
        if (!weights || !lengths) return error{errc::out_of_memory, "memory of a cache"};
        return cache(std::move(*tokens), policy, std::move(*attention), std::move(*evictions),
                     std::move(*weights), std::move(*lengths));
    }
    static result<cache> make(const shape& s, const block_layout& layout, const Policy& policy,
                              std::size_t max_chunk, pool& pool) noexcept {
        return make(s, {&layout, 1}, policy, max_chunk, pool);
    }

    const kv::store& tokens() const noexcept { return store_; }
    const Policy& policy() const noexcept { return policy_; }
    /// Tokens that a layer has seen: the position of the next one. 0 where there is no such layer.
    std::size_t length(std::size_t layer, std::size_t sequence = 0) const noexcept {
        const shape& s = store_.shape();
        const bool exists = layer < s.layers && sequence < s.sequences;
        return exists ? lengths_[sequence * s.layers + layer] : 0;
    }

    /// Adds the next tokens of a layer. keys, values: (tokens, kv_heads * head_dim), rotated
    /// already by the positions length(layer), length(layer) + 1, ...
    /// @return what store::append() says, or buffer_too_small for more than max_chunk tokens
    status append(std::size_t layer, matrix_view<const float> keys, matrix_view<const float> values,
                  std::size_t sequence = 0) noexcept {
        if (keys.rows() > weights_.size())
            return error{errc::buffer_too_small, "more tokens than max_chunk", keys.rows()};
        const status added = store_.append(sequence, layer, keys, values, length(layer, sequence));
        if (added) lengths_[sequence * store_.shape().layers + layer] += keys.rows();
        return added;
    }

    /// Attention of the newest queries.rows() tokens, then the evictions. queries, out: (tokens,
    /// query_heads * head_dim).
    /// @return what attention() says, nothing done; or what evict() says, `out` and scores done,
    /// and the next attend() evicts what is left over
    template <executor Executor = serial>
    status attend(std::size_t layer, matrix_view<const float> queries, matrix_view<float> out,
                  Executor&& run = {}, std::size_t sequence = 0) noexcept {
        const std::size_t n = queries.rows(), end = length(layer, sequence);
        if (n > end || n > weights_.size())
            return error{errc::invalid_argument, "more queries than tokens were appended", n};
        score_tap tap;
        if constexpr (attention_scorer<decltype(policy_.scorer)>) {
            tap.carry = policy_.scorer.carry(n);
            tap.across = policy_.across;
            for (std::size_t i = 0; i < n; ++i) weights_[i] = policy_.scorer.weight(i, n);
            tap.weights = weights_.span().first(n);
        }
        const status attended =
            attention(store_, sequence, layer, queries, out, end - n, attention_, run, tap);
        if (!attended) return attended;
        return evict(store_, sequence, layer, end, policy_, evictions_);
    }

    /// Forgets a sequence.
    void clear(std::size_t sequence = 0) noexcept {
        store_.clear(sequence);
        for (std::size_t l = 0; l < store_.shape().layers; ++l)
            lengths_[sequence * store_.shape().layers + l] = 0;
    }

    /// Forgets the tokens at `position` and after: exact as long as none was evicted since.
    status truncate(std::size_t position, std::size_t sequence = 0) noexcept {
        const status cut = store_.truncate(sequence, position);
        for (std::size_t l = 0; cut && l < store_.shape().layers; ++l) {
            std::size_t& length = lengths_[sequence * store_.shape().layers + l];
            length = length < position ? length : position;
        }
        return cut;
    }

    /// Makes sequence `to` an exact copy of `from`. For speculative decoding, fork before a draft
    /// and fork back to reject it; for a beam, go on with both.
    /// @return what store::fork() says
    status fork(std::size_t from, std::size_t to) noexcept {
        const std::size_t n = store_.shape().layers;
        const status forked = store_.fork(from, to);
        if (forked || forked.error().code == errc::out_of_memory)  // then `to` is empty
            for (std::size_t l = 0; l < n; ++l)
                lengths_[to * n + l] = forked ? lengths_[from * n + l] : 0;
        return forked;
    }

    /// Bytes of the pool in use, by this cache and whatever else shares the pool.
    std::size_t bytes_in_use() const noexcept { return store_.pool().bytes_in_use(); }
    /// Bytes that one sequence would take if everything it has seen were kept.
    std::size_t bytes_if_full(std::size_t sequence = 0) const noexcept {
        return store_.bytes_for(length(0, sequence));
    }

  private:
    cache(kv::store tokens, const Policy& policy, attention_scratch attention,
          eviction_scratch evictions, buffer<float> weights, buffer<std::size_t> lengths) noexcept
        : store_(std::move(tokens)), policy_(policy), attention_(std::move(attention)),
          evictions_(std::move(evictions)), weights_(std::move(weights)),
          lengths_(std::move(lengths)) {}

    kv::store store_;
    Policy policy_;
    attention_scratch attention_;
    eviction_scratch evictions_;
    buffer<float> weights_;
    buffer<std::size_t> lengths_;
};

}  // namespace pare::kv::inline PARE_ARCH_NAMESPACE

#endif  // PARE_CACHE_HPP
