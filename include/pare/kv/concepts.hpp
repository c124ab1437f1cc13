// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KV_CONCEPTS_HPP
#define PARE_KV_CONCEPTS_HPP

#include "../core/config.hpp"
#include "../core/status.hpp"
#include "../core/tensor_view.hpp"
#include "block.hpp"

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>

namespace pare::kv {

/// Keys and values of a head in an engine's own memory: (tokens, head_dim), rows may lie apart.
struct head_vectors {
    matrix_view<const float> keys, values;
};

/// What one KV head shows a scorer: its tokens, in no particular order.
class head_observation {
  public:
    std::span<const float> attention;          ///< (tokens) as attention_scorer sums it, else 0
    std::span<const std::uint32_t> positions;  ///< (tokens)
    std::size_t now = 0;                       ///< position of the token that comes next

    /// @param blocks  (tokens / 32 rounded up) where the tokens lie, in order; none of them: a head
    ///                whose keys and values the engine keeps, and did not show
    /// @param decoded  (2 * head_dim) memory for key() and value()
    PARE_ALWAYS_INLINE constexpr head_observation(std::span<const float> sums,
                                                  std::span<const std::uint32_t> where,
                                                  std::size_t next_position,
                                                  std::span<const std::byte* const> blocks = {},
                                                  const block_layout* layout = nullptr,
                                                  std::span<float> decoded = {}) noexcept
        : attention(sums), positions(where), now(next_position), blocks_(blocks), layout_(layout),
          decoded_(decoded) {}
    /// @param own  what the engine shows of its memory
    PARE_ALWAYS_INLINE
    constexpr head_observation(std::span<const float> sums, std::span<const std::uint32_t> where,
                               std::size_t next_position, const head_vectors& own) noexcept
        : head_observation(sums, where, next_position) {
        own_ = &own;
    }

    PARE_ALWAYS_INLINE constexpr std::size_t size() const noexcept { return positions.size(); }

    /// The stored key or value of a token (head_dim), valid until the next call.
    PARE_ALWAYS_INLINE std::span<const float> key(std::size_t token) const noexcept {
        if (own_ != nullptr) return own_->keys.row_span(token);
        PARE_ASSERT(layout_ != nullptr, "a scorer of keys or values says needs_vectors");
        const std::span<float> to = decoded_.first(layout_->head_dim);
        read_key(*layout_, blocks_[token / block_tokens], token % block_tokens, to);
        return to;
    }
    PARE_ALWAYS_INLINE std::span<const float> value(std::size_t token) const noexcept {
        if (own_ != nullptr) return own_->values.row_span(token);
        PARE_ASSERT(layout_ != nullptr, "a scorer of keys or values says needs_vectors");
        const std::span<float> to = decoded_.subspan(layout_->head_dim, layout_->head_dim);
        read_value(*layout_, blocks_[token / block_tokens], token % block_tokens, to);
        return to;
    }

  private:
    std::span<const std::byte* const> blocks_;
    const block_layout* layout_;
    std::span<float> decoded_;
    const head_vectors* own_ = nullptr;
};

/// Writes one score per token of a head, finite; higher means keep. A value type; a scorer that
/// reads head.attention also says how that is summed up (attention_scorer), one whose scores are
/// averaged over the heads of a layer has `static constexpr bool layer_wide = true`, and one that
/// reads keys or values has `static constexpr bool needs_vectors = true`.
template <class S>
concept token_scorer = std::copyable<S> &&
    requires(const S& scorer, const head_observation& head, std::span<float> scores) {
    { scorer.score(head, scores) }
    noexcept;
};

/// A scorer of attention. When n queries have attended, with probabilities A_0 .. A_(n-1) for a
/// token, its sum becomes carry(n) * sum + weight(0, n) * A_0 + ... + weight(n - 1, n) * A_(n-1).
/// The attention kernel does it in the pass that computes them.
template <class S>
concept attention_scorer = token_scorer<S> && requires(const S& scorer, std::size_t i) {
    { scorer.carry(i) }
    noexcept->std::same_as<float>;
    { scorer.weight(i, i) }
    noexcept->std::same_as<float>;
};

template <class S>
concept layer_wide_scorer = token_scorer<S> && requires {
    requires S::layer_wide;
};

/// A scorer whose score of a token depends on that token alone, so that any part of a head may be
/// scored by itself: says `static constexpr bool pointwise = true`, and is cheaper.
template <class S>
concept pointwise_scorer = token_scorer<S> && requires {
    requires S::pointwise;
};

template <class S>
concept vector_scorer = token_scorer<S> && requires {
    requires S::needs_vectors;
};

/// Tokens that each KV head of a layer may keep.
template <class B>
concept budget = std::copyable<B> && requires(const B& b, std::size_t layer) {
    { b.tokens(layer, layer) }
    noexcept->std::same_as<std::size_t>;
};

/// A budget that the heads of a layer share: the best tokens of all heads stay, and every head
/// keeps its own best floor(layer, n_layers).
template <class B>
concept shared_budget = budget<B> && requires(const B& b, std::size_t layer) {
    { b.floor(layer, layer) }
    noexcept->std::same_as<std::size_t>;
};

/// A budget that depends on the scores: of the tokens of a head that nothing protects,
/// enough(scores in descending order) stay in the first tier, as far as it has room. Asked where
/// the position of the token that comes next is a multiple of policy::every.
template <class B>
concept adaptive_budget = budget<B> && requires(const B& b, std::span<const float> descending) {
    { b.enough(descending) }
    noexcept->std::same_as<std::size_t>;
};

/// What becomes of the value of a token that leaves: share(its sum, the mean sum of the next
/// `window` kept tokens, its position) of it is spread over the values of these.
template <class M>
concept merger = std::copyable<M> && requires(const M& m, float sum, std::uint32_t position) {
    { m.window } -> std::convertible_to<std::size_t>;
    { m.share(sum, sum, position) }
    noexcept->std::same_as<float>;
};

/// Nothing becomes of it.
struct no_merging {
    static constexpr std::size_t window = 0;
    PARE_ALWAYS_INLINE constexpr float share(float, float, std::uint32_t) const noexcept {
        return 0.0f;
    }
};
static_assert(merger<no_merging>);

/// A budget or merger that reads sums of attention as scores: says `static constexpr bool
/// needs_attention = true`.
template <class P>
concept needs_attention = requires {
    requires P::needs_attention;
};

/// A scorer or budget that can refuse its own parameters.
template <class P>
concept checkable = requires(const P& p) {
    { p.check() }
    noexcept->std::same_as<status>;
};

/// How the probabilities of the query heads that share a KV head become one.
enum class reduction : std::uint8_t { mean, max, sum };

}  // namespace pare::kv

#endif  // PARE_KV_CONCEPTS_HPP
