// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "common/recipe.hpp"

#include "common/error.hpp"
#include "common/linear.hpp"
#include "support/catch.hpp"

#include <string>
#include <utility>

using tools::codec_kind;
using tools::parse_recipe;
using tools::pattern_kind;
using tools::permutation_kind;
using tools::saliency_kind;
using tools::selection_kind;

TEST_CASE("a recipe string is a pattern, a codec and a saliency in any order") {
    const tools::recipe r = parse_recipe("wanda+nm:2:4+f16");
    CHECK(r.text == "wanda+nm:2:4+f16");
    CHECK(r.pattern == pattern_kind::n_m);
    CHECK((r.n == 2 && r.m == 4));
    CHECK(r.codec == codec_kind::f16);
    CHECK(r.saliency == saliency_kind::wanda);
}

TEST_CASE("a hinm recipe may have an order") {
    const tools::recipe r = parse_recipe("hinm:2:8:v32:0.25+gyro_inputs:1.5+wanda");
    CHECK(r.pattern == pattern_kind::hinm);
    CHECK((r.n == 2 && r.m == 8 && r.tile_rows == 32 && r.sparsity == 0.25f));
    CHECK(r.permutation == permutation_kind::gyro_inputs);
    CHECK(r.search_seconds == 1.5);
    CHECK(parse_recipe("hinm:2:4:v8:0").permutation == permutation_kind::in_place);
    CHECK_FALSE(parse_recipe("gyro+hinm:2:4:v8:0.5").search_seconds);
}

TEST_CASE("the relatives of hinm have no order to search for") {
    const tools::recipe venom = parse_recipe("vnm:v32:2:8+wanda"),
                        flex = parse_recipe("flex:2:4:v16:0.75");
    CHECK(venom.pattern == pattern_kind::v_n_m);
    CHECK((venom.n == 2 && venom.m == 8 && venom.tile_rows == 32));
    CHECK(flex.pattern == pattern_kind::flex_hinm);
    CHECK((flex.n == 2 && flex.m == 4 && flex.tile_rows == 16 && flex.sparsity == 0.75f));
}

TEST_CASE("blocks have rows, columns where they are aligned, and a way to choose them") {
    const tools::recipe ubp = parse_recipe("ubp:8:0.75+f16"), wide = parse_recipe("block:16x4:0.5");
    CHECK(ubp.pattern == pattern_kind::unaligned_block);
    CHECK((ubp.block_rows == 8 && ubp.block_cols == 1 && ubp.sparsity == 0.75f));
    CHECK(ubp.selection == selection_kind::bed);
    CHECK(parse_recipe("ubp_greedy:4:0.5").selection == selection_kind::greedy);
    CHECK(parse_recipe("wanda+ubp_optimum:4:0.5").selection == selection_kind::optimum);
    CHECK(wide.pattern == pattern_kind::block);
    CHECK((wide.block_rows == 16 && wide.block_cols == 4 && wide.sparsity == 0.5f));
    CHECK(parse_recipe("block:32:0.5").block_cols == 1);
}

TEST_CASE("channels leave by a criterion until a share is gone, and layers alone refuse that") {
    using tools::criterion_kind, tools::scope_kind;
    const auto plain = parse_recipe("channel:l1:0.3").channels.value();
    CHECK(plain.criterion == criterion_kind::l1);
    CHECK(plain.share == 0.3);
    CHECK(plain.scope == scope_kind::layer);
    CHECK((plain.multiple == 1 && !plain.repair));
    const tools::recipe r = parse_recipe("repair+i8+channel:bn_gamma:0.5:group:m4");
    CHECK(r.channels->criterion == criterion_kind::bn_gamma);
    CHECK(r.channels->scope == scope_kind::group);
    CHECK((r.channels->multiple == 4 && r.channels->repair));
    CHECK(r.codec == codec_kind::i8);
    for (const auto& [name, scope] :
         {std::pair("global", scope_kind::global), std::pair("pagcp", scope_kind::pagcp),
          std::pair("pre_cropping", scope_kind::pre_cropping)}) {
        const auto c = parse_recipe("channel:l1:0.3:" + std::string(name)).channels.value();
        CHECK(c.scope == scope);
        CHECK(needs_calibration(c) == (scope == scope_kind::pagcp));
    }
    CHECK_FALSE(is_dense_as_stored(parse_recipe("channel:l2:0.5")));
    CHECK(needs_calibration(parse_recipe("channel:taylor:0.5").channels.value()));
    CHECK_FALSE(needs_calibration(plain));
    CHECK_THROWS_WITH(tools::check_compiled(r), Catch::Contains("pare_vision"));
    tools::check_compiled(without_channels(r));
    for (const char* const bad :
         {"channel", "channel:l1", "channel:l3:0.5", "channel:l1:0", "channel:l1:1",
          "channel:l1:nan", "channel:l1:0.5:all", "channel:pagcp:0.5", "channel:l1:0.5:m0",
          "channel:l1:0.5:m4:layer", "channel:0.5:l1", "repair", "nm:2:4+repair",
          "channel:l1:0.5+repair:1", "channel:l1:0.3+channel:l2:0.3"})
        CHECK_THROWS_AS(parse_recipe(bad), tools::usage_error);
}

TEST_CASE("blocks that are not compiled in are refused, those that are named") {
    for (const char* const good :
         {"ubp:4:0.5", "ubp_greedy:32:0.5", "block:16:0.5", "block:8x2:0.5", "block:4x4:0.5"})
        CHECK_NOTHROW(tools::check_compiled(parse_recipe(good)));
    for (const char* const bad : {"ubp:5:0.5", "block:64:0.5", "block:8x3:0.5"}) {
        CAPTURE(bad);
        CHECK_THROWS_WITH(tools::check_compiled(parse_recipe(bad)),
                          Catch::Contains("ubp:8 block:8[x2|x4]"));
    }
}

TEST_CASE("codes have a group, perhaps zero points, and a scale rule") {
    const tools::recipe r = parse_recipe("nm:2:4+i4:g32:a+percentile:0.99");
    CHECK(r.codec == codec_kind::i4);
    CHECK((r.group == 32 && r.asymmetric && r.rule == tools::rule_kind::percentile));
    CHECK((r.percentile == 0.99f && !r.gptq));
    CHECK(parse_recipe("i4+gptq").gptq);
    CHECK(parse_recipe("gptq+nm:2:4").gptq);
    const tools::recipe plain = parse_recipe("i8");
    CHECK(plain.codec == codec_kind::i8);
    CHECK((plain.group == 0 && !plain.asymmetric && plain.rule == tools::rule_kind::absmax));
    for (const char* const good :
         {"i8", "nm:2:4+i8", "nm:1:4+i4:g32:a", "hinm:2:4:v32:0.5+gyro+i4:g64", "ubp:8:0.75+i8",
          "nf4:g64+mse", "nm:4:8+e4m3", "unstructured:0.5+i2:g32"})
        CHECK_NOTHROW(tools::check_compiled(parse_recipe(good)));
    for (const char* const bad : {"i8:g48", "nf4:g128", "nm:3:7+i8", "flex:2:4:v16:0.5+i8"}) {
        CAPTURE(bad);
        CHECK_THROWS_WITH(tools::check_compiled(parse_recipe(bad)),
                          Catch::Contains("this program is compiled for"));
    }
}

TEST_CASE("what a recipe string leaves out is dense, as stored, by magnitude") {
    const tools::recipe r = parse_recipe("dense");
    CHECK(r.pattern == pattern_kind::dense);
    CHECK(r.codec == codec_kind::stored);
    CHECK(parse_recipe("bf16").codec == codec_kind::bf16);
    CHECK(parse_recipe("bf16").pattern == pattern_kind::dense);
    CHECK(parse_recipe("nm:1:4").saliency == saliency_kind::magnitude);
    CHECK(parse_recipe("unstructured:0.75").sparsity == 0.75f);
}

TEST_CASE("a recipe string that is unknown or contradictory is refused with what exists") {
    const std::string bad = GENERATE(
        as<std::string>{}, "", "nm", "nm:2", "nm:4:2", "nm:0:4", "nm:4:4", "nm:2:33", "nm:2:4:6",
        "nm:2:4x", "nm:-2:4", "nm: 2:4", "NM:2:4", "dense:1", "nm:2:4+nm:1:4", "dense+nm:2:4",
        "nm:2:4+f16+f32", "nm:2:4+f16+f16", "nm:2:4+wanda+optimal_brain", "wanda", "dense+wanda",
        "f16:2", "nm:2:4+", "+nm:2:4", "nm:2:4+gyro", "gyro", "gyro:1", "dense+gyro_inputs",
        "hinm:2:4", "hinm:2:4:v8", "hinm:2:4:8:0.5", "hinm:2:4:v0:0.5", "hinm:2:4:v8:1",
        "hinm:2:4:v8:-0.5", "hinm:2:4:v8:nan", "hinm:4:4:v8:0.5", "hinm:2:4:v8:0.5:1",
        "hinm:2:4:v8:0.5+gyro:0", "hinm:2:4:v8:0.5+gyro:nan", "hinm:2:4:v8:0.5+gyro:1e9",
        "hinm:2:4:v8:0.5+gyro:1:2", "hinm:2:4:v8:0.5+gyro_outputs:1",
        "hinm:2:4:v8:0.5+gyro+gyro_inputs", "hinm:2:4:v8:0.5+nm:2:4", "vnm:2:8", "vnm:32:2:8",
        "vnm:v32:2:8:0.5", "vnm:v32:2:8+gyro", "flex:2:4:v16", "flex:2:4:v16:1",
        "flex:2:4:v16:0.5+gyro", "block:8", "block:8:1", "block:8:0", "block:0:0.5", "block:8x:0.5",
        "block:8x2x2:0.5", "block:8x0:0.5", "block:8:0.5:2", "ubp:8", "ubp:8x2:0.5", "ubp:0:0.5",
        "ubp:8:nan", "ubp:8:0.5+gyro", "ubp:8:0.5+block:8:0.5", "ubp_greedy:8:1.5",
        "ubp_optimum:0.5", "unstructured", "unstructured:1", "unstructured:0", "unstructured:nan",
        "unstructured:1e", "i3", "i4:32", "i4:g0", "i4:g32:g64", "i4:a:a", "nf4:a", "e4m3:x",
        "i8+i4", "mse", "f16+mse", "i8+percentile", "i8+percentile:0", "i8+mse+percentile:0.9",
        "gptq", "f16+gptq", "i4+gptq:1");
    CAPTURE(bad);
    try {
        parse_recipe(bad);
        FAIL("was taken");
    } catch (const tools::usage_error& e) {
        CHECK_THAT(e.what(), Catch::Contains(tools::list_recipe_parts()));
    }
}
