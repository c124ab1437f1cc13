// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_TESTS_CONTRACT_KV_LAWS_HPP
#define PARE_TESTS_CONTRACT_KV_LAWS_HPP

// The laws of cache policies as functions that say whether a policy keeps them, so that a wrong one
// can be shown to break them.

#include <pare/kv/ada.hpp>
#include <pare/kv/evict.hpp>
#include <pare/kv/pyramid.hpp>
#include <pare/kv/zipvl.hpp>

#include "support/kv.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

namespace pare::testing {

using head_positions = std::vector<std::vector<std::uint32_t>>;  // of each head, ascending

/// What a layer has seen: for each token a sum of attention (tokens, heads) and a key (tokens,
/// heads * head_dim), and the order in which the tokens lie.
struct seen_tokens {
    static constexpr std::size_t n = 100, heads = 3, dim = 6;

    std::string name;
    matrix attention{n, heads}, keys = matrix::uniform(n, heads*dim, 7);
    std::vector<std::uint32_t> order = std::vector<std::uint32_t>(n);
};

/// Signals rather than noise alone.
inline std::vector<seen_tokens> kv_signals() {
    std::vector<seen_tokens> all;
    pare::random random(1);
    const auto add = [&](const char* name, auto sum) {
        seen_tokens seen{name};
        for (std::size_t t = 0; t < seen.n; ++t)
            for (std::size_t h = 0; h < seen.heads; ++h) seen.attention(t, h) = sum(t, h);
        std::iota(seen.order.begin(), seen.order.end(), 0u);
        all.push_back(std::move(seen));
    };
    using limits = std::numeric_limits<float>;
    add("noise", [&](auto, auto) { return 1.0f + random.symmetric(); });
    add("zero", [](auto, auto) { return 0.0f; });
    add("flat", [](auto, auto) { return 0.25f; });
    add("plateaus", [](auto t, auto) { return static_cast<float>(t / 7 % 3); });
    add("ramp", [](auto t, auto h) { return static_cast<float>(t + h); });
    add("falling", [](auto t, auto h) { return static_cast<float>(200 - t - h); });
    add("subnormal", [&](auto, auto) { return 0x1p-149f * static_cast<float>(random.below(9)); });
    add("NaN", [&](auto, auto) { return random.below(3) == 0 ? limits::quiet_NaN() : 1.0f; });
    add("infinite", [&](auto t, auto) {
        const std::size_t draw = random.below(3);
        return draw == 0   ? limits::infinity()
               : draw == 1 ? -limits::infinity()
                           : static_cast<float>(t);
    });
    return all;
}

inline void set_tokens(kv::uniform& b, std::size_t n) { b.tokens_per_head = n; }
inline void set_tokens(kv::pyramid& b, std::size_t n) { b = {.tokens_per_head = n, .beta = 2.0f}; }
inline void set_tokens(kv::zipvl& b, std::size_t n) { b.tokens_per_head = n; }
template <class PerHead>
void set_tokens(kv::ada<PerHead>& b, std::size_t n) {
    set_tokens(b.per_head, n);
}

/// A policy under test: sinks, recent tokens and a range stay.
inline constexpr kv::position_range middle{40, 43};
template <class Policy>
Policy with_tokens(std::size_t n) {
    Policy p{};
    set_tokens(p.budget, n);
    p.sinks = 2;
    p.recent = 3;
    p.keep = {&middle, 1};
    p.tier_shares = {0.5f};
    return p;
}

/// One layer of a store, the second of three, that a policy cuts.
class cut_layer {
  public:
    /// With two tiers demoted keys are i8 and lose channels.
    explicit cut_layer(std::size_t tiers)
        : shape_{3, 2 * seen_tokens::heads, seen_tokens::heads, seen_tokens::dim, 1, tiers},
          memory_(8192, 64), scratch_(*kv::eviction_scratch::make(shape_, seen_tokens::n)) {
        layouts_[1].keys = kv::element::i8;
        layouts_[1].key_channels = 4;
    }

    template <class Policy>
    head_positions kept(const Policy& p, const seen_tokens& seen) {
        kv::store s =
            *kv::store::make(shape_, std::span(layouts_).first(shape_.tiers), memory_.pool());
        for (const std::uint32_t t : seen.order) {
            const auto key = seen.keys.view().block(t, 0, 1, seen.keys.cols());
            if (!s.append(0, 1, key, key, t)) std::abort();
        }
        for (std::size_t h = 0; h < seen.heads; ++h)
            for (auto* row = s.rows(0, 1, h); row != nullptr; row = row->next)
                for (std::size_t t = 0; t < row->size; ++t)
                    row->attention[t] = seen.attention(row->positions[t], h);
        if (!kv::evict(s, 0, 1, seen.n, p, scratch_)) std::abort();
        head_positions kept(seen.heads);
        for (std::size_t h = 0; h < seen.heads; ++h) {
            for (std::size_t tier = 0; tier < shape_.tiers; ++tier)
                for (const std::uint32_t t : positions_of(s.view(0, 1, h, tier)))
                    kept[h].push_back(t);
            std::sort(kept[h].begin(), kept[h].end());
        }
        return kept;
    }

  private:
    kv::shape shape_;
    std::array<kv::block_layout, 2> layouts_{kv::block_layout{.head_dim = seen_tokens::dim},
                                             kv::block_layout{.head_dim = seen_tokens::dim}};
    pool_memory memory_;
    kv::eviction_scratch scratch_;
};

template <class Policy>
head_positions kept_by(const Policy& p, const seen_tokens& seen, std::size_t tiers = 1) {
    return cut_layer(tiers).kept(p, seen);
}

/// As many tokens stay as the budget has, in each head or, where heads share it, in all of them.
template <class Policy>
bool holds_its_budget(const Policy& p, const seen_tokens& seen, std::size_t tiers) {
    constexpr bool shared = kv::shared_budget<decltype(p.budget)>;
    const std::size_t budget = p.budget.tokens(1, 3);
    std::size_t total = 0;
    bool holds = true;
    for (const auto& head : kept_by(p, seen, tiers)) {
        holds = holds && std::adjacent_find(head.begin(), head.end()) == head.end();
        if (!shared && kv::adaptive_budget<decltype(p.budget)>)
            holds = holds && head.size() <= budget;
        else if (!shared) holds = holds && head.size() == budget;
        total += head.size();
    }
    return holds && (!shared || total == seen.heads * budget);
}

/// Sinks, recent tokens and ranges stay, whatever their scores.
template <class Policy>
bool keeps_what_is_protected(const Policy& p, const seen_tokens& seen, std::size_t tiers) {
    for (const auto& head : kept_by(p, seen, tiers))
        for (std::uint32_t t = 0; t < seen.n; ++t) {
            const bool stays =
                t < p.sinks || t + p.recent >= seen.n || (middle.first <= t && t < middle.end);
            if (stays && !std::binary_search(head.begin(), head.end(), t)) return false;
        }
    return true;
}

/// Memory that other tokens went through changes nothing.
template <class Policy>
bool remembers_nothing(const Policy& p, const seen_tokens& seen, const seen_tokens& other,
                       std::size_t tiers) {
    cut_layer layer(tiers);
    layer.kept(p, other);
    return layer.kept(p, seen) == kept_by(p, seen, tiers);
}

/// Where tokens lie in a head says nothing.
template <class Policy>
bool ignores_places(const Policy& p, seen_tokens seen) {
    const head_positions kept = kept_by(p, seen);
    pare::random draw(3);
    for (std::size_t i = seen.n; i > 1; --i)
        std::swap(seen.order[i - 1], seen.order[draw.below(i)]);
    return kept_by(p, seen) == kept;
}

/// Only the order of the sums counts: a power of two, which rounds nothing here, changes nothing.
template <class Policy>
bool ignores_scale(const Policy& p, seen_tokens seen) {
    const head_positions kept = kept_by(p, seen);
    for (float& sum : seen.attention.data()) sum *= 4.0f;
    return kept_by(p, seen) == kept;
}

/// Of tokens that nothing tells apart the latest stay.
template <class Policy>
bool keeps_the_latest_of_equals(Policy p, seen_tokens seen) {
    p.sinks = 0, p.keep = {};
    for (float& sum : seen.attention.data()) sum = 0.25f;
    for (float& x : seen.keys.data()) x = 0.5f;
    for (const auto& head : kept_by(p, seen))
        if (head.size() != p.budget.tokens(1, 3) || head.front() + head.size() != seen.n)
            return false;
    return true;
}

/// What a head keeps does not depend on its number.
template <class Policy>
bool heads_are_alike(const Policy& p, seen_tokens seen) {
    const head_positions kept = kept_by(p, seen);
    for (std::size_t t = 0; t < seen.n; ++t) {
        std::swap(seen.attention(t, 0), seen.attention(t, 2));
        for (std::size_t c = 0; c < seen.dim; ++c)
            std::swap(seen.keys(t, c), seen.keys(t, 2 * seen.dim + c));
    }
    return kept_by(p, seen) == head_positions{kept[2], kept[1], kept[0]};
}

/// A larger budget keeps all that a smaller one does.
template <class Policy>
bool grows_with_the_budget(const seen_tokens& seen) {
    head_positions before = kept_by(with_tokens<Policy>(16), seen);
    for (const std::size_t n : {17u, 24u, 51u, 99u}) {
        const head_positions kept = kept_by(with_tokens<Policy>(n), seen);
        for (std::size_t h = 0; h < seen.heads; ++h)
            if (!std::includes(kept[h].begin(), kept[h].end(), before[h].begin(), before[h].end()))
                return false;
        before = kept;
    }
    return true;
}

}  // namespace pare::testing

#endif  // PARE_TESTS_CONTRACT_KV_LAWS_HPP
