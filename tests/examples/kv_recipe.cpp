// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "common/kv_recipe.hpp"

#include "common/error.hpp"
#include "support/catch.hpp"

#include <string>
#include <utility>
#include <vector>

using pare::kv::element;
using pare::kv::reduction;
using tools::kv_budget;
using tools::kv_scorer;
using tools::parse_kv_recipe;

TEST_CASE("a cache string is a policy and what goes with it, in any order") {
    const tools::kv_recipe r = parse_kv_recipe("values:i8+sinks:4+a2sf:0.9:0.25+f16+ada+every:8");
    CHECK(r.text == "values:i8+sinks:4+a2sf:0.9:0.25+f16+ada+every:8");
    CHECK(r.scorer == kv_scorer::a2sf);
    CHECK(r.forgetting == 0.9f);
    CHECK(r.recent_share == 0.25f);
    CHECK(r.sinks == 4);
    CHECK(r.every == 8);
    CHECK(r.budget == kv_budget::ada);
    CHECK(r.across == reduction::mean);
}

TEST_CASE("keys and values have the types that were named, the particular before the common") {
    const auto types = [](const char* text) {
        const tools::kv_recipe r = parse_kv_recipe(text);
        return std::pair(r.keys, r.values);
    };
    CHECK(types("full") == std::pair(element::f32, element::f32));
    CHECK(types("full+bf16") == std::pair(element::bf16, element::bf16));
    CHECK(types("full+keys:i8") == std::pair(element::i8, element::f32));
    CHECK(types("full+f16+values:i4") == std::pair(element::f16, element::i4));
    CHECK(types("full+values:i4+f16") == std::pair(element::f16, element::i4));
    const auto layers = parse_kv_recipe("full+i4+layers:0:2:f16:5:6:i8,bf16").layers;
    REQUIRE(layers.size() == 2);
    CHECK((layers[0].first == 0 && layers[0].end == 2));
    CHECK((layers[0].keys == element::f16 && layers[0].values == element::f16));
    CHECK((layers[1].first == 5 && layers[1].end == 6));
    CHECK((layers[1].keys == element::i8 && layers[1].values == element::bf16));
}

TEST_CASE("tiers are a share of the budget and a type each, by score or by age") {
    const auto r = parse_kv_recipe("demote:0.25:i8:0.5:i4+h2o+f16");
    CHECK(r.keys == element::f16);
    CHECK(r.lower == std::vector{element::i8, element::i4});
    CHECK((r.tier_shares[0] == 0.25f && r.tier_shares[1] == 0.5f && !r.demote_oldest));
    const auto aged = parse_kv_recipe("full+demote_oldest:0.1:i4");
    CHECK((aged.lower == std::vector{element::i4} && aged.demote_oldest));
    CHECK(parse_kv_recipe("full").lower.empty());
}

TEST_CASE("what a cache string leaves out is uniform, of the mean, without protected tokens") {
    const tools::kv_recipe r = parse_kv_recipe("window");
    CHECK(r.scorer == kv_scorer::window);
    CHECK(r.budget == kv_budget::uniform);
    CHECK((r.sinks == 0 && r.recent == 0 && r.every == 1 && r.recent_share == 0.0f));
    CHECK(parse_kv_recipe("tova+max").across == reduction::max);
    CHECK((!r.by_value && parse_kv_recipe("a2sf:0.1+by_value").by_value));
    CHECK(parse_kv_recipe("h2o+sum").across == reduction::sum);
    const auto kept = parse_kv_recipe("h2o+keep:0:4:20:30").keep;
    CHECK((kept.size() == 2 && kept[1].first == 20 && kept[1].end == 30));
    CHECK(r.keep.empty());
    CHECK(parse_kv_recipe("a2sf:0.1").recent_share == 0.0f);
    CHECK(parse_kv_recipe("key_norm+recent:3").recent == 3);
    CHECK((!r.pyramid && parse_kv_recipe("random+pyramid").pyramid));
    const auto shared = parse_kv_recipe("h2o+ada:0.5+pyramid");
    CHECK((shared.budget == kv_budget::ada && shared.safeguard == 0.5f && shared.pyramid));
    CHECK(parse_kv_recipe("h2o+ada").safeguard == 0.2f);
    CHECK((r.renumber == 0 && parse_kv_recipe("window+sinks:4+renumber:64").renumber == 64));
    CHECK(parse_kv_recipe("h2o+chunks:8").granularity == 8);
    CHECK(parse_kv_recipe("h2o+cam:16").merging_window == 16);
    CHECK(parse_kv_recipe("full+i4+per_channel+hadamard").keys_per_channel);
    CHECK(parse_kv_recipe("full+i4+hadamard").hadamard);
    CHECK(parse_kv_recipe("full+demote:0.5:f16+think:0.6").key_share == 0.6f);
    const auto read = parse_kv_recipe("lserve:512+full+f16");
    CHECK((read.reading == tools::kv_reading::lserve && read.read_tokens == 512));
    const auto adaptive = parse_kv_recipe("h2o+zipvl:0.95");
    CHECK((adaptive.budget == kv_budget::zipvl && adaptive.mass == 0.95f));
}

TEST_CASE("h2o keeps half of its budget recent, snapkv the queries it observes") {
    CHECK(parse_kv_recipe("h2o").recent_share == 0.5f);
    CHECK(parse_kv_recipe("h2o:0.25").recent_share == 0.25f);
    CHECK(!parse_kv_recipe("h2o").mean);
    CHECK(parse_kv_recipe("h2o_mean").mean);
    const tools::kv_recipe r = parse_kv_recipe("snapkv:16");
    CHECK((r.observed == 16 && r.recent == 16 && r.pooling == 5));
    CHECK(parse_kv_recipe("snapkv:16:7").pooling == 7);
    CHECK(parse_kv_recipe("snapkv:16+recent:20").recent == 20);
    CHECK(parse_kv_recipe("recent:2+snapkv:16").recent == 16);
}

TEST_CASE("the list names every part in full") {
    const std::string list = tools::list_kv_parts();
    for (const char* const part : {"layers:FROM:TO:TYPE... ", "demote_oldest:S:TYPE ", "ada[:S] "})
        CHECK_THAT(list, Catch::Contains(part));
}

TEST_CASE("a cache string that is unknown or contradictory is refused with what exists") {
    const std::string bad = GENERATE(
        as<std::string>{}, "", "lru", "a2sf", "a2sf:1.1", "a2sf:-0.1", "a2sf:nan", "a2sf:0.5:2",
        "a2sf:0.5:0.5:0.5", "h2o:2", "h2o:0.5:0.5", "window:4", "snapkv", "snapkv:0", "snapkv:x",
        "full:1", "full+window", "window+window", "A2SF:0.1", "a2sf: 0.1", "sinks:4", "f16",
        "window+", "+window", "window+sinks:0", "window+sinks:4+sinks:5", "window+every:0",
        "window+f16+i8", "window+f64", "window+keys:f64", "window+keys", "window+keys:i4:i4",
        "h2o+pyramid+zipvl:0.9", "h2o+ada+zipvl:0.9", "window+ada:1.1", "snapkv:16:4",
        "snapkv:16:5:5", "window+renumber:0", "full+renumber:64", "h2o+renumber:64+keep:0:4",
        "h2o+renumber:64+demote:0.5:i4+think:0.5", "full+layers:0:2", "full+layers:2:2:f16",
        "full+layers:0:2:f64", "full+layers:0:2:f16,i8,i4", "full+layers:0:2:f16:4", "h2o+zipvl",
        "full+think:0.5", "full+demote:0.5:i4+think:0", "full+demote:0.5:i4+think:0.5+hadamard",
        "h2o+lserve:64", "full+lserve", "full+lserve:64+token_select:64", "h2o+cam", "h2o+cam:0",
        "h2o+chunks:0", "h2o+zipvl:0", "h2o+zipvl:1.5", "window+demote", "window+demote:0.5",
        "window+demote:2:i8", "window+demote:i8:0.5", "window+demote:0.2:i8+demote_oldest:0.2:i8",
        "window+demote:0.1:f16:0.1:i8:0.1:i4:0.1:i4", "window+max:1", "h2o+max+sum",
        "window+cam:16", "h2o+by_value", "key_norm+zipvl:0.9", "h2o+keep", "h2o+keep:4",
        "h2o+keep:4:4", "h2o+keep:0:4:8", "window+recent:-1");
    CAPTURE(bad);
    try {
        parse_kv_recipe(bad);
        FAIL("was taken");
    } catch (const tools::usage_error& e) {
        CHECK_THAT(e.what(), Catch::Contains(tools::list_kv_parts()));
    }
}
