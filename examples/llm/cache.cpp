// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "cache.hpp"

#include "common/error.hpp"

#include <pare/cache.hpp>
#include <pare/kernel/lserve.hpp>
#include <pare/kernel/token_select.hpp>
#include <pare/kv/a2sf.hpp>
#include <pare/kv/ada.hpp>
#include <pare/kv/by_value.hpp>
#include <pare/kv/cache_bytes.hpp>
#include <pare/kv/cam.hpp>
#include <pare/kv/h2o.hpp>
#include <pare/kv/key_norm.hpp>
#include <pare/kv/pyramid.hpp>
#include <pare/kv/random_tokens.hpp>
#include <pare/kv/snapkv.hpp>
#include <pare/kv/tova.hpp>
#include <pare/kv/window.hpp>
#include <pare/kv/zipvl.hpp>

#include <algorithm>
#include <span>
#include <stdexcept>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace llm {

namespace {

namespace kv = pare::kv;
using tools::kv_budget, tools::kv_reading, tools::kv_scorer, tools::value_of;

kv::shape shape_of(const config& c, const tools::kv_recipe& r) {
    constexpr std::size_t sequences = 2;  // the second one is the mark
    return {c.n_layers, c.n_heads, c.n_kv_heads, c.head_dim, sequences, 1 + r.lower.size()};
}

// Of every tier of every layer.
std::vector<kv::block_layout> layouts_of(const config& c, const tools::kv_recipe& r) {
    std::vector<tools::kv_types> first(c.n_layers, {0, 0, r.keys, r.values});
    for (const tools::kv_types& own : r.layers) {
        if (own.end > c.n_layers)
            throw tools::failure("the cache '" + r.text + "': the model has " +
                                 std::to_string(c.n_layers) + " layers");
        for (std::size_t l = own.first; l < own.end; ++l) first[l] = own;
    }
    std::vector<kv::block_layout> layouts;
    const auto n_kept = static_cast<std::size_t>(r.key_share * static_cast<float>(c.head_dim));
    const auto add = [&](kv::element keys, kv::element values, std::size_t channels) {
        layouts.push_back({.keys = keys,
                           .values = values,
                           .head_dim = c.head_dim,
                           .keys_per_channel = r.keys_per_channel,
                           .hadamard = r.hadamard,
                           .key_channels = channels,
                           .key_ranges = r.reading == kv_reading::lserve});
    };
    for (const tools::kv_types& types : first) {
        add(types.keys, types.values, 0);
        for (const kv::element e : r.lower)
            add(e, e, r.key_share == 1.0f ? 0 : std::max<std::size_t>(n_kept, 1));
    }
    return layouts;
}

template <class Policy, class Selector = pare::read_all>
class cache_of final : public cache {
  public:
    /// @param capacity  tokens of the longest sequence
    cache_of(const config& c, const tools::kv_recipe& r, const Policy& policy, std::size_t capacity,
             std::size_t chunk, const Selector& how = {})
        : about_("the cache '" + r.text + "'"), keep_(r.keep), every_(r.renumber),
          n_bytes_(bytes_for(c, r, policy, capacity, chunk)),
          memory_(std::make_unique_for_overwrite<std::byte[]>(n_bytes_)),
          pool_(value_of(
              kv::pool::make({memory_.get(), n_bytes_}, kv::page_bytes_for(layouts_of(c, r))),
              about_)),
          cache_(
              value_of(kv::cache<Policy, Selector>::make(shape_of(c, r), layouts_of(c, r),
                                                         keeping(policy, keep_), chunk, pool_, how),
                       about_)) {}

    void append(std::size_t layer, pare::matrix_view<const float> keys,
                pare::matrix_view<const float> values) override {
        value_of(cache_.append(layer, keys, values), about_);
    }
    void attend(std::size_t layer, pare::matrix_view<const float> queries,
                pare::matrix_view<float> out, pare::thread_pool& run) override {
        value_of(cache_.attend(layer, queries, out, run), about_);
    }
    std::size_t renumber(const kv::rotary& turn) override {
        const std::size_t position = cache_.length(0);
        if (every_ == 0 || position - renumbered_ < every_) return position;
        return renumbered_ = value_of(cache_.renumber(turn), about_);
    }
    void clear() override {
        cache_.clear();
        renumbered_ = 0;
    }
    void mark() override {
        value_of(cache_.fork(0, 1), about_);
        marked_ = renumbered_;
    }
    void rewind() override {
        value_of(cache_.fork(1, 0), about_);
        renumbered_ = marked_;
    }
    std::size_t peak_bytes() const override { return pool_.peak_bytes(); }
    const kv::store& tokens() const override { return cache_.tokens(); }

  private:
    static Policy keeping(Policy policy, std::span<const kv::position_range> ranges) {
        policy.keep = ranges;
        return policy;
    }
    // Twice: for the mark. Pages that are never used cost nothing.
    static std::size_t bytes_for(const config& c, const tools::kv_recipe& r, const Policy& policy,
                                 std::size_t capacity, std::size_t chunk) {
        const auto layouts = layouts_of(c, r);
        const kv::shape shape = shape_of(c, r);
        const std::size_t page = kv::page_bytes_for(layouts);
        const std::size_t most = kv::cache_bytes(shape, layouts, page, policy, chunk);
        const std::size_t full = kv::store_bytes(shape, layouts, page, capacity);
        return 2 * (shape.tiers == 1 ? std::min(most, full) : most) + kv::pool::alignment;
    }

    std::string about_;
    std::vector<kv::position_range> keep_;             // the policy's
    std::size_t every_, renumbered_ = 0, marked_ = 0;  // where positions had no gaps
    std::size_t n_bytes_;
    std::unique_ptr<std::byte[]> memory_;
    kv::pool pool_;
    kv::cache<Policy, Selector> cache_;
};

using any_scorer = std::variant<kv::window, kv::a2sf, kv::by_value<kv::a2sf>, kv::h2o, kv::tova,
                                kv::snapkv, kv::key_norm, kv::random_tokens>;
using any_budget = std::variant<kv::pyramid, kv::ada<kv::pyramid>, kv::zipvl>;

any_scorer scorer_of(const tools::kv_recipe& r) {
    switch (r.scorer) {
        case kv_scorer::full:
        case kv_scorer::window:
            break;
        case kv_scorer::a2sf:
            if (r.by_value) return kv::by_value<kv::a2sf>{{r.forgetting}};
            return kv::a2sf{r.forgetting};
        case kv_scorer::h2o:
            return kv::h2o{r.mean};
        case kv_scorer::tova:
            return kv::tova{};
        case kv_scorer::snapkv:
            return kv::snapkv{r.observed, r.pooling};
        case kv_scorer::key_norm:
            return kv::key_norm{};
        case kv_scorer::random:
            return kv::random_tokens{};
    }
    return kv::window{};
}

any_budget budget_of(const tools::kv_recipe& r, std::size_t tokens) {
    kv::pyramid by_layer{tokens, r.observed};
    if (!r.pyramid) by_layer.beta = 1.0f;  // every layer has the mean
    switch (r.budget) {
        case kv_budget::uniform:
            break;
        case kv_budget::ada:
            return kv::ada<kv::pyramid>{by_layer, r.safeguard};
        case kv_budget::zipvl:
            return kv::zipvl{r.mass, tokens};
    }
    return by_layer;
}

// visit(policy) with the recipe's policy for a budget of so many tokens.
auto with_policy(const tools::kv_recipe& r, std::size_t tokens, auto&& visit) {
    using answer = decltype(visit(kv::policy<kv::window>{}));
    return std::visit(
        [&](const auto& scorer, const auto& budget) -> answer {
            using scorer_t = std::remove_cvref_t<decltype(scorer)>;
            using budget_t = std::remove_cvref_t<decltype(budget)>;
            using kv::attention_scorer, kv::needs_attention;
            if constexpr (attention_scorer<scorer_t> || !needs_attention<budget_t>) {
                using merging_t =
                    std::conditional_t<attention_scorer<scorer_t>, kv::cam, kv::no_merging>;
                kv::policy<scorer_t, budget_t, merging_t> policy{.scorer = scorer,
                                                                 .budget = budget,
                                                                 .sinks = r.sinks,
                                                                 .recent = r.recent,
                                                                 .recent_share = r.recent_share,
                                                                 .every = r.every,
                                                                 .granularity = r.granularity,
                                                                 .keep = r.keep,
                                                                 .across = r.across,
                                                                 .tier_shares = r.tier_shares,
                                                                 .demote_oldest = r.demote_oldest,
                                                                 .merging = {}};
                if constexpr (attention_scorer<scorer_t>) policy.merging.window = r.merging_window;
                return visit(policy);
            } else {
                throw std::logic_error("parse_kv_recipe() refuses '" + r.text + "'");
            }
        },
        scorer_of(r), budget_of(r, tokens));
}

}  // namespace

std::unique_ptr<cache> make_cache(const config& c, const cache_options& o, std::size_t capacity,
                                  std::size_t chunk) {
    const tools::kv_recipe& r = o.recipe;
    // A short session does not change what the budget means, the model's context bounds memory.
    const std::size_t budget =
        r.scorer == kv_scorer::full ? capacity : std::min(o.tokens, std::max(capacity, c.context));
    const auto reading = [&](const auto& how) -> std::unique_ptr<cache> {
        using policy_t = kv::policy<kv::window>;
        const policy_t all{.budget = {budget}, .tier_shares = r.tier_shares, .demote_oldest = true};
        return std::make_unique<cache_of<policy_t, std::remove_cvref_t<decltype(how)>>>(
            c, r, all, capacity, chunk, how);
    };
    const std::size_t n = r.read_tokens;
    if (r.reading == kv_reading::lserve) return reading(pare::lserve{.tokens = n});
    if (r.reading == kv_reading::token_select)
        return reading(pare::token_select{.tokens = n, .first = n / 8, .recent = n / 8});
    return with_policy(r, budget, [&](const auto& policy) -> std::unique_ptr<cache> {
        using policy_t = std::remove_cvref_t<decltype(policy)>;
        return std::make_unique<cache_of<policy_t>>(c, r, policy, capacity, chunk);
    });
}

std::size_t full_bytes(const config& c, const tools::kv_recipe& r, std::size_t tokens) {
    const auto layouts = layouts_of(c, r);
    return kv::store_bytes(shape_of(c, r), layouts, kv::page_bytes_for(layouts), tokens);
}

std::size_t tokens_within(const config& c, const tools::kv_recipe& r, std::size_t bytes,
                          std::size_t chunk) {
    const auto layouts = layouts_of(c, r);
    const std::size_t page = kv::page_bytes_for(layouts);
    const std::size_t tokens = kv::tokens_within(bytes, [&](std::size_t n) {
        return with_policy(r, n, [&](const auto& policy) {
            return kv::cache_bytes(shape_of(c, r), layouts, page, policy, chunk);
        });
    });
    if (tokens == 0)
        throw tools::failure("the cache '" + r.text + "': not one token fits into " +
                             std::to_string(bytes) + " bytes");
    return tokens;
}

}  // namespace llm
