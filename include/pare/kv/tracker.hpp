// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KV_TRACKER_HPP
#define PARE_KV_TRACKER_HPP

#include "../core/buffer.hpp"
#include "../core/status.hpp"
#include "../core/tensor_view.hpp"
#include "select.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace pare::kv {

/// One step of a plan: copy the token at place `from` of a head to place `to`.
struct move {
    std::uint32_t from, to;
};

inline namespace PARE_ARCH_NAMESPACE {

/// A policy for an engine that keeps its own cache, in memory of any kind: the engine shows its
/// attention and gets, for each head, the copies that close the gaps. Tokens of a head are named by
/// their places, 0 to size() - 1; new ones come at the end. It plans evictions alone: no demotions,
/// no merging of values.
template <class Policy>
class tracker {
    static_assert(eviction_policy<Policy>, "a tracker is made with a kv::policy");
    using scorer = decltype(Policy::scorer);

  public:
    /// @param tokens  of one head at most, before a plan
    static result<tracker> make(const shape& s, const Policy& policy, std::size_t tokens) noexcept {
        if (s.layers == 0 || s.kv_heads == 0 || s.query_heads == 0 ||
            s.query_heads % s.kv_heads != 0)
            return error{errc::invalid_argument,
                         "a tracker needs layers and KV heads that divide query heads"};
        if (s.tiers != 1) return error{errc::invalid_argument, "a tracker has one tier", s.tiers};
        if (const status ok = check(policy, s.layers); !ok) return ok.error();
        tracker made;
        auto memory = eviction_scratch::make(s, tokens);
        if (!memory) return memory.error();
        const std::size_t heads = s.layers * s.kv_heads;
        auto attention = buffer<float>::make(heads * tokens);
        auto positions = buffer<std::uint32_t>::make(heads * tokens);
        auto sizes = buffer<std::size_t>::make(heads);
        auto lengths = buffer<std::size_t>::make(s.layers);
        auto moves = buffer<move>::make(s.kv_heads * tokens);
        auto n_moves = buffer<std::size_t>::make(s.kv_heads);
        auto vectors = buffer<head_vectors>::make(s.kv_heads);
        if (!attention || !positions || !sizes || !lengths || !moves || !n_moves || !vectors)
            return error{errc::out_of_memory, "memory of a tracker"};
        made.shape_ = s;
        made.policy_ = policy;
        made.tokens_ = tokens;
        made.memory_ = std::move(*memory);
        made.attention_ = std::move(*attention);
        made.positions_ = std::move(*positions);
        made.sizes_ = std::move(*sizes);
        made.lengths_ = std::move(*lengths);
        made.moves_ = std::move(*moves);
        made.n_moves_ = std::move(*n_moves);
        made.vectors_ = std::move(*vectors);
        return made;
    }

    /// Tells that every head of a layer got the next n tokens, at its end.
    status append(std::size_t layer, std::size_t n) noexcept {
        if (layer >= shape_.layers) return error{errc::invalid_argument, "no such layer", layer};
        for (std::size_t h = 0; h < shape_.kv_heads; ++h)
            if (n > tokens_ - size(layer, h) ||
                lengths_[layer] + n >= static_cast<std::uint32_t>(-1))
                return error{errc::buffer_too_small, "more tokens than the tracker was made for"};
        for (std::size_t h = 0; h < shape_.kv_heads; ++h)
            for (std::size_t t = 0; t < n; ++t) {
                const std::size_t at = first(layer, h) + sizes_[layer * shape_.kv_heads + h]++;
                attention_[at] = 0.0f;
                positions_[at] = static_cast<std::uint32_t>(lengths_[layer] + t);
            }
        lengths_[layer] += n;
        return {};
    }

    /// Shows the probabilities of the newest queries: (queries * group_size, size()), the rows of a
    /// query's heads together. Needed once per layer, head and step by scorers of attention.
    status observe(std::size_t layer, std::size_t kv_head,
                   matrix_view<const float> probabilities) noexcept {
        if (layer >= shape_.layers || kv_head >= shape_.kv_heads)
            return error{errc::invalid_argument, "no such layer or head"};
        const std::size_t group = shape_.group_size(), n = probabilities.rows() / group;
        if (probabilities.rows() % group != 0 || probabilities.cols() != size(layer, kv_head))
            return error{errc::shape_mismatch, "probabilities: (queries * group_size, tokens)"};
        if constexpr (attention_scorer<scorer>) {
            if (n == 0) return {};
            const auto sums =
                attention_.span().subspan(first(layer, kv_head), size(layer, kv_head));
            for (float& sum : sums) sum *= policy_.scorer.carry(n);
            for (std::size_t i = 0; i < n; ++i) {
                const float weight = policy_.scorer.weight(i, n);
                for (std::size_t t = 0; weight != 0.0f && t < sums.size(); ++t) {
                    float reduced = 0.0f;
                    for (std::size_t g = 0; g < group; ++g) {
                        const float p = probabilities(i * group + g, t);
                        if (policy_.across != reduction::max) reduced += p;
                        else if (p > reduced) reduced = p;
                    }
                    if (policy_.across == reduction::mean) reduced /= static_cast<float>(group);
                    sums[t] += weight * reduced;
                }
            }
        }
        return {};
    }

    /// Shows where the keys and values of a head lie until the next plan(): (size(), head_dim),
    /// rows may lie apart. Needed before each by scorers of keys or values. Those of another layer
    /// are forgotten.
    status show(std::size_t layer, std::size_t kv_head, const head_vectors& own) noexcept
        requires(vector_scorer<scorer>) {
        if (layer >= shape_.layers || kv_head >= shape_.kv_heads)
            return error{errc::invalid_argument, "no such layer or head"};
        if (own.keys.rows() != size(layer, kv_head) || own.keys.cols() != shape_.head_dim ||
            own.keys.extents() != own.values.extents())
            return error{errc::shape_mismatch, "keys and values: (tokens of the head, head_dim)"};
        if (own.keys.col_stride() != 1 || own.values.col_stride() != 1)
            return error{errc::not_contiguous, "keys and values need consecutive columns"};
        if (layer != shown_layer_) forget_vectors();
        shown_layer_ = layer;
        vectors_[kv_head] = own;
        return {};
    }

    /// Decides which tokens of a layer leave, and forgets them. The engine then carries out moves()
    /// of every head in their order, and keeps the first size() tokens.
    /// @return what select_leaving() says; shape_mismatch when keys and values of now were not
    /// shown
    status plan(std::size_t layer) noexcept {
        if (layer >= shape_.layers) return error{errc::invalid_argument, "no such layer", layer};
        for (std::size_t h = 0; h < shape_.kv_heads; ++h) {
            n_moves_[h] = 0;
            const std::size_t shown = layer == shown_layer_ ? vectors_[h].keys.rows() : 0;
            if (vector_scorer<scorer> && shown != size(layer, h))
                return error{errc::shape_mismatch, "show() every head's keys and values", h};
        }
        const status planned = select_leaving(
            policy_, shape_, layer, 0, lengths_[layer], memory_,
            [&](std::size_t h) { return size(layer, h); },
            [&](std::size_t h, std::size_t) {
                return head_observation(attention_.span().subspan(first(layer, h), size(layer, h)),
                                        positions(layer, h), lengths_[layer], vectors_[h]);
            },
            [&](std::size_t h, std::span<const std::uint32_t> places) -> status {
                std::size_t& n = sizes_[layer * shape_.kv_heads + h];
                for (std::size_t i = places.size(); i-- > 0;)
                    if (places[i] != --n) {
                        const auto from = static_cast<std::uint32_t>(n);
                        attention_[first(layer, h) + places[i]] = attention_[first(layer, h) + n];
                        positions_[first(layer, h) + places[i]] = positions_[first(layer, h) + n];
                        moves_[h * tokens_ + n_moves_[h]++] = {from, places[i]};
                    }
                return {};
            });
        forget_vectors();
        return planned;
    }

    /// What the last plan() wants of a head; at most as many moves as tokens left.
    std::span<const move> moves(std::size_t kv_head) const noexcept {
        return moves_.span().subspan(kv_head * tokens_, n_moves_[kv_head]);
    }
    std::size_t size(std::size_t layer, std::size_t kv_head) const noexcept {
        return sizes_[layer * shape_.kv_heads + kv_head];
    }
    /// The true positions of a head's tokens, by place.
    std::span<const std::uint32_t> positions(std::size_t layer,
                                             std::size_t kv_head) const noexcept {
        return positions_.span().subspan(first(layer, kv_head), size(layer, kv_head));
    }
    /// Forgets everything: the next token is the first of a sequence.
    void clear() noexcept {
        for (std::size_t& n : sizes_.span()) n = 0;
        for (std::size_t& n : lengths_.span()) n = 0;
        forget_vectors();
    }

  private:
    tracker() noexcept = default;
    std::size_t first(std::size_t layer, std::size_t kv_head) const noexcept {
        return (layer * shape_.kv_heads + kv_head) * tokens_;
    }
    void forget_vectors() noexcept {
        for (head_vectors& shown : vectors_.span()) shown = {};
    }

    shape shape_;
    Policy policy_{};
    std::size_t tokens_ = 0;
    eviction_scratch memory_;
    buffer<float> attention_;
    buffer<std::uint32_t> positions_;
    buffer<std::size_t> sizes_, lengths_, n_moves_;
    buffer<move> moves_;
    buffer<head_vectors> vectors_;  // (kv_heads) of shown_layer_
    std::size_t shown_layer_ = 0;
};

}  // namespace PARE_ARCH_NAMESPACE

}  // namespace pare::kv

#endif  // PARE_KV_TRACKER_HPP
