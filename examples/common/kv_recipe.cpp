// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "kv_recipe.hpp"

#include "grammar.hpp"

namespace tools {

namespace {

using pare::kv::element, pare::kv::reduction;

bool read_share(std::string_view text, float& share) {
    return read_number(text, share) && share >= 0.0f && share <= 1.0f;
}

bool read_a2sf(arguments args, kv_recipe& r) {
    r.scorer = kv_scorer::a2sf;
    return (args.size() == 1 || args.size() == 2) && read_share(args[0], r.forgetting) &&
           (args.size() == 1 || read_share(args[1], r.recent_share));
}

template <bool Mean>
bool read_h2o(arguments args, kv_recipe& r) {
    r.scorer = kv_scorer::h2o;
    r.mean = Mean;
    r.recent_share = 0.5f;
    return args.empty() || (args.size() == 1 && read_share(args[0], r.recent_share));
}

bool read_snapkv(arguments args, kv_recipe& r) {
    r.scorer = kv_scorer::snapkv;
    return (args.size() == 1 || args.size() == 2) && read_number(args[0], r.observed) &&
           r.observed > 0 &&
           (args.size() == 1 || (read_number(args[1], r.pooling) && r.pooling % 2 == 1));
}

bool read_ada(arguments args, kv_recipe& r) {
    r.budget = kv_budget::ada;
    return args.empty() || (args.size() == 1 && read_share(args[0], r.safeguard));
}

bool read_zipvl(arguments args, kv_recipe& r) {
    r.budget = kv_budget::zipvl;
    return args.size() == 1 && read_share(args[0], r.mass) && r.mass > 0.0f;
}

template <std::size_t kv_recipe::*Member, std::size_t Least>
bool read_count(arguments args, kv_recipe& r) {
    return args.size() == 1 && read_number(args[0], r.*Member) && r.*Member >= Least;
}

bool read_keep(arguments args, kv_recipe& r) {
    for (std::size_t i = 0; i + 1 < args.size(); i += 2) {
        pare::kv::position_range range{};
        if (!read_number(args[i], range.first) || !read_number(args[i + 1], range.end) ||
            range.first >= range.end)
            return false;
        r.keep.push_back(range);
    }
    return !args.empty() && args.size() % 2 == 0;
}

bool read_element(std::string_view name, element& e) {
    constexpr std::string_view names[] = {"f32", "f16", "bf16", "i8", "i4"};
    for (std::size_t i = 0; i < std::size(names); ++i)
        if (names[i] == name) {
            e = static_cast<element>(i);
            return true;
        }
    return false;
}

template <element E>
bool set_both(arguments args, kv_recipe& r) {
    r.keys = r.values = E;
    return args.empty();
}

// TYPE of both, or KEYS,VALUES.
bool read_types(std::string_view text, kv_types& types) {
    const std::vector<std::string_view> names = split(text, ',');
    return names.size() <= 2 && read_element(names.front(), types.keys) &&
           read_element(names.back(), types.values);
}

bool read_layers(arguments args, kv_recipe& r) {
    for (std::size_t i = 0; i + 2 < args.size(); i += 3) {
        kv_types types{};
        if (!read_number(args[i], types.first) || !read_number(args[i + 1], types.end) ||
            types.first >= types.end || !read_types(args[i + 2], types))
            return false;
        r.layers.push_back(types);
    }
    return !args.empty() && args.size() % 3 == 0;
}

template <element kv_recipe::*Member>
bool read_one(arguments args, kv_recipe& r) {
    return args.size() == 1 && read_element(args[0], r.*Member);
}

bool read_think(arguments args, kv_recipe& r) {
    return args.size() == 1 && read_share(args[0], r.key_share) && r.key_share > 0.0f;
}

template <kv_reading How>
bool read_selection(arguments args, kv_recipe& r) {
    r.reading = How;
    return args.size() == 1 && read_number(args[0], r.read_tokens) && r.read_tokens > 0;
}

template <bool Oldest>
bool read_demotion(arguments args, kv_recipe& r) {
    r.demote_oldest = Oldest;
    if (args.empty() || args.size() % 2 != 0 || args.size() / 2 >= pare::kv::max_tiers)
        return false;
    for (std::size_t i = 0; i < args.size(); i += 2) {
        element type{};
        if (!read_share(args[i], r.tier_shares[i / 2]) || !read_element(args[i + 1], type))
            return false;
        r.lower.push_back(type);
    }
    return true;
}

constexpr part<kv_recipe> parts[] = {
    {"policy", "full", "full", "keeps everything", set<&kv_recipe::scorer, kv_scorer::full>},
    {"policy", "a2sf", "a2sf:A[:R]",
     "attention summed with forgetting factor A; share R of the budget recent", read_a2sf},
    {"policy", "h2o", "h2o[:R]", "attention summed, share R (0.5) of the budget recent",
     read_h2o<false>},
    {"policy", "h2o_mean", "h2o_mean[:R]", "the same per query that could see the token",
     read_h2o<true>},
    {"policy", "window", "window", "the newest tokens", set<&kv_recipe::scorer, kv_scorer::window>},
    {"policy", "tova", "tova", "attention of the newest query, one choice per layer",
     set<&kv_recipe::scorer, kv_scorer::tova>},
    {"policy", "snapkv", "snapkv:W[:P]",
     "attention of the last W queries, which stay too, smoothed over P (5), odd", read_snapkv},
    {"policy", "key_norm", "key_norm", "keys of small norm",
     set<&kv_recipe::scorer, kv_scorer::key_norm>},
    {"policy", "random", "random", "a baseline", set<&kv_recipe::scorer, kv_scorer::random>},
    {"budget", "pyramid", "pyramid", "more for lower layers, less for higher ones",
     set<&kv_recipe::pyramid, true>},
    {"share", "ada", "ada[:S]", "heads of a layer share, S (0.2) of its own is safe for each",
     read_ada},
    {"share", "zipvl", "zipvl:M", "as few as make up mass M of the scores, --budget at most",
     read_zipvl},
    {"sinks", "sinks", "sinks:N", "the first N tokens stay", read_count<&kv_recipe::sinks, 1>},
    {"recent", "recent", "recent:N", "the newest N tokens stay at least",
     read_count<&kv_recipe::recent, 1>},
    {"keep", "keep", "keep:FROM:TO...", "tokens FROM to TO - 1 stay", read_keep},
    {"positions", "renumber", "renumber:N", "lose their gaps after every N tokens",
     read_count<&kv_recipe::renumber, 1>},
    {"pace", "every", "every:N", "evicts N tokens at a time", read_count<&kv_recipe::every, 1>},
    {"chunks", "chunks", "chunks:N", "N positions leave together, by their mean score",
     read_count<&kv_recipe::granularity, 1>},
    {"heads", "max", "max", "largest, not mean, attention of the query heads of a group",
     set<&kv_recipe::across, reduction::max>},
    {"heads", "sum", "sum", "their sum", set<&kv_recipe::across, reduction::sum>},
    {"ranking", "by_value", "by_value", "sums of a2sf times the mean |number| of the token's value",
     set<&kv_recipe::by_value, true>},
    {"storage", "f32", "f32", "keys and values as 32-bit floats (default)", set_both<element::f32>},
    {"storage", "f16", "f16", "as IEEE half precision", set_both<element::f16>},
    {"storage", "bf16", "bf16", "as bfloat16", set_both<element::bf16>},
    {"storage", "i8", "i8", "as 8-bit codes, scale and minimum per token", set_both<element::i8>},
    {"storage", "i4", "i4", "as 4-bit codes", set_both<element::i4>},
    {"keys", "keys", "keys:TYPE", "keys alone", read_one<&kv_recipe::keys>},
    {"values", "values", "values:TYPE", "values alone", read_one<&kv_recipe::values>},
    {"layers", "layers", "layers:FROM:TO:TYPE...", "layers FROM to TO - 1 as TYPE, or KEYS,VALUES",
     read_layers},
    {"scales", "per_channel", "per_channel", "key scales of i8 and i4 per channel, not per token",
     set<&kv_recipe::keys_per_channel, true>},
    {"rotation", "hadamard", "hadamard", "stored after a Hadamard transform of each head",
     set<&kv_recipe::hadamard, true>},
    {"channels", "think", "think:S", "demoted keys keep share S of their channels", read_think},
    {"reading", "lserve", "lserve:N", "of `full`: pages with N tokens, by ranges of their keys",
     read_selection<kv_reading::lserve>},
    {"reading", "token_select", "token_select:N",
     "of `full`: N tokens by vote, first and newest N/8", read_selection<kv_reading::token_select>},
    {"merging", "cam", "cam:W", "adds values that leave to the W that follow",
     read_count<&kv_recipe::merging_window, 1>},
    {"demotion", "demote", "demote:S:TYPE...",
     "share S of the budget as it came, lower scores as TYPE", read_demotion<false>},
    {"demotion", "demote_oldest", "demote_oldest:S:TYPE", "the same by age", read_demotion<true>},
};
constexpr grammar<kv_recipe> words{"cache", parts, "sinks:4+a2sf:0.9:0.5+f16+values:i8"};

}  // namespace

std::string list_kv_parts() { return list_parts(words); }

kv_recipe parse_kv_recipe(std::string_view text) {
    kv_recipe r;
    r.text = text;
    const std::vector<bool> there = parse_parts(words, text, r);
    bool any_policy = false;
    for (std::size_t i = 0; i < there.size(); ++i)
        any_policy = any_policy || (there[i] && parts[i].role == "policy");
    if (!any_policy) refuse(words, text, text, "names no policy");
    if (r.key_share != 1.0f && r.lower.empty())
        refuse(words, text, text, "demotes no keys that could lose channels");
    if (r.key_share != 1.0f && (r.hadamard || r.reading == kv_reading::lserve))
        refuse(words, text, text, "needs all channels of the keys");
    if (r.reading != kv_reading::all && r.scorer != kv_scorer::full)
        refuse(words, text, text, "reads a part of what is kept: with `full` only");
    const bool sums_attention = r.scorer == kv_scorer::a2sf || r.scorer == kv_scorer::h2o ||
                                r.scorer == kv_scorer::tova || r.scorer == kv_scorer::snapkv;
    if (!sums_attention && (r.budget == kv_budget::zipvl || r.merging_window != 0))
        refuse(words, text, text, "needs a policy of attention for zipvl and cam");
    if (r.pyramid && r.budget == kv_budget::zipvl)
        refuse(words, text, text, "has budgets by layer and by mass: pyramid or zipvl");
    if (r.renumber != 0 && r.scorer == kv_scorer::full)
        refuse(words, text, text, "evicts nothing, so its positions have no gaps");
    if (r.renumber != 0 && (r.key_share != 1.0f || !r.keep.empty()))
        refuse(words, text, text, "cannot be renumbered: not with think or keep");
    if (r.by_value && r.scorer != kv_scorer::a2sf)
        refuse(words, text, text, "weighs sums of a2sf alone");
    if (r.scorer == kv_scorer::snapkv && r.recent < r.observed) r.recent = r.observed;
    return r;
}

}  // namespace tools
