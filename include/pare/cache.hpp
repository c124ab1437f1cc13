// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_CACHE_HPP
#define PARE_CACHE_HPP

#include "core/buffer.hpp"
#include "core/executor.hpp"
#include "core/status.hpp"
#include "core/tensor_view.hpp"
#include "kernel/selective_attention.hpp"
#include "kv/evict.hpp"
#include "kv/query_energies.hpp"
#include "kv/renumber.hpp"
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
///
/// With a selector, attention reads only what it chooses of what is kept.
template <class Policy, class Selector = read_all>
class cache {
    static_assert(eviction_policy<Policy>, "a cache is made with a kv::policy");
    using reader = selective_attention<Selector>;

  public:
    /// @param layouts    of every tier: for all layers, or for each
    /// @param max_chunk  tokens of one append() at most
    /// @param pool       memory of the tokens; must outlive the cache
    static result<cache> make(const shape& s, std::span<const block_layout> layouts,
                              const Policy& policy, std::size_t max_chunk, pool& pool,
                              const Selector& how = {}) noexcept {
        if (const status ok = check(policy, s.layers, s.tiers); !ok) return ok.error();
        auto tokens = store::make(s, layouts, pool);
        if (!tokens) return tokens.error();
        if (max_chunk == 0 || max_chunk >= std::size_t{1} << 31)
            return error{errc::invalid_argument, "max_chunk is 1 or more, and below 2^31"};
        // The most tokens that a head can have between two evictions: of a shared budget all of
        // them.
        std::size_t most = 0;
        for (std::size_t l = 0; l < s.layers; ++l) {
            const std::size_t budget = policy.budget.tokens(l, s.layers);
            const std::size_t heads = shared_budget<decltype(policy.budget)> ? s.kv_heads : 1;
            const std::size_t n = heads * (budget + s.tiers * policy.every) - 1 + max_chunk;
            most = n > most ? n : most;
        }
        auto attention = attention_scratch::make(s, most);
        if (!attention) return attention.error();
        auto evictions = eviction_scratch::make(s, most);
        if (!evictions) return evictions.error();
        auto selection = reader::make(s, how, most);  // what attention reads
        if (!selection) return selection.error();
        auto weights = buffer<float>::make(max_chunk);
        auto lengths = buffer<std::size_t>::make(s.sequences * s.layers);
        auto energies = query_energies::make(s, layouts);
        if (!weights || !energies || !lengths)
            return error{errc::out_of_memory, "memory of a cache"};
        return cache(std::move(*tokens), policy, std::move(*selection), std::move(*attention),
                     std::move(*evictions), std::move(*weights), std::move(*energies),
                     std::move(*lengths));
    }
    static result<cache> make(const shape& s, const block_layout& layout, const Policy& policy,
                              std::size_t max_chunk, pool& pool,
                              const Selector& how = {}) noexcept {
        return make(s, {&layout, 1}, policy, max_chunk, pool, how);
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
    /// @return what store::append() says; buffer_too_small for more than max_chunk tokens, or when
    /// those appended before were not attended; what evict() says when an eviction that failed in
    /// attend() fails again
    status append(std::size_t layer, matrix_view<const float> keys, matrix_view<const float> values,
                  std::size_t sequence = 0) noexcept {
        if (keys.rows() > weights_.size())
            return error{errc::buffer_too_small, "more tokens than max_chunk", keys.rows()};
        if (!has_room(sequence, layer, keys.rows())) {
            const status evicted = evict(store_, sequence, layer, length(layer, sequence), policy_,
                                         evictions_, energies_.of(sequence, layer));
            if (!evicted) return evicted;
            if (!has_room(sequence, layer, keys.rows()))
                return error{errc::buffer_too_small, "attend() the tokens appended before"};
        }
        const status added = store_.append(sequence, layer, keys, values, length(layer, sequence));
        if (added) lengths_[sequence * store_.shape().layers + layer] += keys.rows();
        return added;
    }

    /// Attention of the newest queries.rows() tokens, then the evictions. queries, out: (tokens,
    /// query_heads * head_dim).
    /// @return what attention() says, nothing done; or what evict() says, `out` and scores done,
    /// and the next append() evicts what is left over
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
            selection_.attend(store_, sequence, layer, queries, out, end - n, attention_, run, tap);
        if (!attended) return attended;
        energies_.observe(sequence, layer, queries);
        return evict(store_, sequence, layer, end, policy_, evictions_,
                     energies_.of(sequence, layer));
    }

    /// Forgets a sequence.
    void clear(std::size_t sequence = 0) noexcept {
        store_.clear(sequence);
        selection_.forget(sequence);
        energies_.clear(sequence);
        for (std::size_t l = 0; l < store_.shape().layers; ++l)
            lengths_[sequence * store_.shape().layers + l] = 0;
    }

    /// Forgets the tokens at `position` and after; not the scores that their queries gave to
    /// others, nor evictions since: fork() restores those too.
    status truncate(std::size_t position, std::size_t sequence = 0) noexcept {
        const status cut = store_.truncate(sequence, position);
        if (cut) selection_.forget(sequence);
        for (std::size_t l = 0; cut && l < store_.shape().layers; ++l) {
            std::size_t& length = lengths_[sequence * store_.shape().layers + l];
            length = length < position ? length : position;
        }
        return cut;
    }

    /// Makes sequence `to` an exact copy of `from`. For speculative decoding, fork before a draft
    /// and swap() it back to reject it; for a beam, go on with both.
    /// @return what store::fork() says; out_of_memory leaves `to` as clear() does
    status fork(std::size_t from, std::size_t to) noexcept {
        const status forked = store_.fork(from, to);
        if (!forked && forked.error().code == errc::out_of_memory) clear(to);
        if (!forked || from == to) return forked;
        selection_.forget(to);
        energies_.copy(from, to);
        const std::size_t n = store_.shape().layers;
        for (std::size_t l = 0; l < n; ++l) lengths_[to * n + l] = lengths_[from * n + l];
        return forked;
    }

    /// Exchanges two sequences: to reject a draft, swap the snapshot back, and nothing is copied.
    status swap(std::size_t a, std::size_t b) noexcept {
        const status done = store_.swap(a, b);
        if (!done || a == b) return done;
        selection_.forget(a), selection_.forget(b);
        energies_.swap(a, b);
        const std::size_t n = store_.shape().layers;
        for (std::size_t l = 0; l < n; ++l) std::swap(lengths_[a * n + l], lengths_[b * n + l]);
        return done;
    }

    /// Gives the kept tokens positions without gaps, see kv::renumber(); those that the policy
    /// keeps for their positions, sinks and the ranges of `keep` that adjoin them, stay. Every
    /// layer then goes on at the returned position, which length() is. Between steps only: queries
    /// that were turned before do not fit what is kept any more.
    /// @return what kv::renumber() says; invalid_argument when layers have seen different numbers
    /// of tokens, or a range of `keep` would come to mean other tokens
    result<std::size_t> renumber(const rotary& r, std::size_t sequence = 0) noexcept {
        const std::size_t n = store_.shape().layers;
        if (sequence >= store_.shape().sequences)
            return error{errc::invalid_argument, "no such sequence", sequence};
        for (std::size_t l = 1; l < n; ++l)
            if (length(l, sequence) != length(0, sequence))
                return error{errc::invalid_argument, "a layer has not seen what others have", l};
        std::size_t stay = policy_.sinks;
        for (bool more = true; more;) {
            more = false;
            bool beyond = false;
            const position_range* range = policy_.keep.data();
            for (std::size_t i = policy_.keep.size(); i > 0; --i, ++range) {
                if (range->first >= range->end || range->end <= stay) continue;
                if (range->first > stay) beyond = true;
                else stay = range->end, more = true;
            }
            if (beyond && !more)
                return error{errc::invalid_argument, "a range of `keep` would move", stay};
        }
        const result<std::size_t> next = kv::renumber(store_, sequence, r, evictions_, stay);
        if (!next) return next;
        selection_.forget(sequence);
        for (std::size_t l = 0; l < n; ++l) lengths_[sequence * n + l] = *next;
        return next;
    }

    /// Bytes of the pool in use, by this cache and whatever else shares the pool.
    std::size_t bytes_in_use() const noexcept { return store_.pool().bytes_in_use(); }
    /// Bytes of what make() took beside the pool: for attention and evictions, whatever the length
    /// of a sequence.
    std::size_t scratch_bytes() const noexcept {
        return attention_.bytes() + evictions_.bytes() + selection_.bytes() + weights_.bytes() +
               energies_.bytes() + lengths_.bytes();
    }
    /// Bytes that one sequence would take if everything it has seen were kept.
    std::size_t bytes_if_full(std::size_t sequence = 0) const noexcept {
        return store_.bytes_for(length(0, sequence));
    }

  private:
    bool has_room(std::size_t sequence, std::size_t layer, std::size_t n) const noexcept {
        const shape& s = store_.shape();
        for (std::size_t h = 0; sequence < s.sequences && layer < s.layers && h < s.kv_heads; ++h)
            if (!attention_.fits(s, store_.size(sequence, layer, h) + n)) return false;
        return true;
    }

    cache(kv::store tokens, const Policy& policy, reader selection, attention_scratch attention,
          eviction_scratch evictions, buffer<float> weights, query_energies energies,
          buffer<std::size_t> lengths) noexcept
        : store_(std::move(tokens)), policy_(policy), selection_(std::move(selection)),
          attention_(std::move(attention)), evictions_(std::move(evictions)),
          weights_(std::move(weights)), energies_(std::move(energies)),
          lengths_(std::move(lengths)) {}

    kv::store store_;
    Policy policy_;
    reader selection_;
    attention_scratch attention_;
    eviction_scratch evictions_;
    buffer<float> weights_;
    query_energies energies_;
    buffer<std::size_t> lengths_;
};

}  // namespace pare::kv::inline PARE_ARCH_NAMESPACE

#endif  // PARE_CACHE_HPP
