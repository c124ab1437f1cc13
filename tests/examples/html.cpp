// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "html.hpp"

#include "common/chart.hpp"
#include "common/error.hpp"
#include "common/html.hpp"
#include "common/model_report.hpp"
#include "llm/report.hpp"
#include "support/catch.hpp"

#include <cmath>
#include <string>
#include <vector>

namespace {

using Catch::Contains;
using pare::testing::count, pare::testing::fault_of;
using tools::axis, tools::curve;

const double unknown = std::nan("");
const std::string bad_name = R"(a<b>&"c"'d')", as_text = "a&lt;b&gt;&amp;&quot;c&quot;&#39;d&#39;";

tools::model_layers two_layers(const std::string& recipe) {
    return {
        recipe,
        {{.name = bad_name,
          .shape = "64x48",
          .report = {.bytes = 1537, .bits_per_weight = 4.03, .sparsity = 0.511, .retained = 0.876},
          .error = 0.125},
         {.name = "second",
          .shape = "9x8",
          .report = {.bytes = 72, .bits_per_weight = 8.0, .sparsity = 0.0, .retained = 1.0},
          .seconds = 2.5e-6}}};
}

}  // namespace

TEST_CASE("the check of pages finds what is wrong with them") {
    CHECK(fault_of("<p class='a'>1 &lt; 2<br/></p>").empty());
    for (const char* const bad :
         {"<p>", "</p>", "<p><b></p></b>", "<p class='a>x</p>", "<p>a & b</p>", "<p>a > b</p>",
          "<p", "<img src='a.png'/>", "<p>http:</p>"})
        CHECK_FALSE(fault_of(bad).empty());
}

TEST_CASE("a page of layers is well-formed, escapes names and has the numbers of its rows") {
    const std::vector<tools::model_layers> models{two_layers(bad_name), two_layers("i8")};
    const std::string page = tools::html::page(
        bad_name, tools::html::list(bad_name + "\nb\n") + tools::layer_section(models));
    CHECK(fault_of(page) == "");
    CHECK_THAT(page, Contains("<title>" + as_text + "</title>"));
    CHECK_THAT(page, Contains("<li>" + as_text + "</li>\n<li>b</li>"));
    CHECK_THAT(page, Contains("<summary>layers of " + as_text + "</summary>"));
    CHECK_THAT(page, Contains("<td class='left'>1</td><td class='left'>" + as_text +
                              "</td><td>64x48</td><td>51.1 %</td><td>4.03</td><td>87.6 %</td>"
                              "<td>1537</td><td>0.12500</td><td>-</td>"));
    CHECK_THAT(page, Contains("<td>72</td><td>-</td><td>2.5</td>"));
    CHECK_THAT(page, Contains("all 2</td>") && Contains("<td>1609</td><td>-</td><td>-</td>"));
    CHECK(count(page, "<svg ") == 6);
    CHECK(count(page, "<table>") == 2);
    CHECK_THAT(page, !Contains("nan"));
}

TEST_CASE("a chart shows points where they are, and leaves out those that are not finite") {
    const curve line{"line", {{0, 10}, {1, unknown}, {2, 30}, {HUGE_VAL, 20}}};
    const std::string svg =
        tools::chart({&line, 1}, {.name = "x, m"}, {.name = "y & z", .from_zero = true});
    CHECK(fault_of(svg) == "");
    CHECK_THAT(svg,
               Contains("<title>line: 0, 10</title>") && Contains("<title>line: 2, 30</title>"));
    CHECK(count(svg, "<title>") == 2);
    CHECK_THAT(svg, Contains("x, m</text>") && Contains("y &amp; z</text>"));
    CHECK_THAT(svg, !Contains("nan") && !Contains("inf"));

    const curve nothing{"nothing", {{unknown, 1}}};
    CHECK(tools::chart({&nothing, 1}, {.name = "x"}, {.name = "y"}).empty());
    CHECK(tools::html::figure("", "caption").empty());
    const curve alone{"alone", {{7, 7}}};
    axis both{.name = "both", .least = 1};
    for (const tools::scale s :
         {tools::scale::linear, tools::scale::decades, tools::scale::octaves}) {
        both.scale = s;
        CHECK_THAT(tools::chart({&alone, 1}, both, both),
                   Contains("alone: 7, 7") && !Contains("nan") && !Contains("inf"));
    }
}

TEST_CASE("the front names the recipes that none beats, and they alone") {
    const std::vector<tools::trade> trades{{"large", 16, 90, "every weight"},
                                           {"worse", 9, 60, "magnitude"},
                                           {"small", 4, 50, "every weight"},
                                           {"good", 8, 80, "wanda, gptq"},
                                           {"broken", 2, unknown, "wanda"}};
    const auto drawn = [&](bool more_is_better) {
        return tools::front_chart(trades, tools::bits_per_weight, {.name = "top-1, %"},
                                  more_is_better);
    };
    for (const char* const name : {"large", "good", "small"})
        CHECK_THAT(drawn(true), Contains(">" + std::string(name) + "</text>"));
    CHECK_THAT(drawn(true), Contains("<title>worse: 9, 60</title>"));
    CHECK_THAT(drawn(true), !Contains(">worse</text>") && !Contains("broken"));
    CHECK_THAT(drawn(false), Contains(">small</text>") && !Contains(">good</text>"));
    for (const char* const method : {"every weight", "magnitude", "wanda, gptq"})
        CHECK_THAT(drawn(true), Contains(">" + std::string(method) + "</text>"));
    CHECK_THAT(drawn(true), !Contains(">wanda</text>"));
}

TEST_CASE("recipes are drawn by what chooses and rounds their weights") {
    const auto method = [](const char* recipe, double sparsity) {
        return tools::method_of(tools::parse_recipe(recipe), sparsity);
    };
    CHECK(method("i4:g32", 0.0) == "every weight");
    CHECK(method("nf4:g64+gptq", 0.0) == "every weight, gptq");
    CHECK(method("nm:2:4+i8", 0.5) == "magnitude");
    CHECK(method("nm:2:4+wanda+gptq+i4:g32", 0.5) == "wanda, gptq");
    CHECK(method("ubp:8:0.5+optimal_brain", 0.5) == "optimal brain");
    CHECK(method("dense", 0.5) == "some weights pruned");  // a file that is compressed already
}

TEST_CASE("a file of a chart stands alone") {
    const curve line{"line", {{1, 1}, {2, 2}}};
    const std::string file =
        tools::svg_file(tools::chart({&line, 1}, {.name = "x"}, {.name = "y"}));
    const std::string_view space = " xmlns='http://www.w3.org/2000/svg'";
    REQUIRE(file.starts_with("<svg" + std::string(space) + " viewBox='"));
    std::string rest = file;
    rest.erase(4, space.size());
    CHECK(fault_of(rest) == "");
    CHECK_THAT(rest, Contains("--c0:"));
}

TEST_CASE("numbers are as short as they may be") {
    CHECK(tools::plain(0.15000000000000002) == "0.15");
    CHECK(tools::plain(1e-5) == "0.00001");
    CHECK(tools::plain(-20) == "-20");
    CHECK(tools::bytes_in_words(1023) == "1023 B");
    CHECK(tools::bytes_in_words(1536) == "1.5 KiB");
    CHECK(tools::bytes_in_words(0x1p34) == "16 GiB");
}

TEST_CASE("the report of language models has a curve per cache and a front of recipes") {
    llm::row dense;
    dense.model = bad_name;
    dense.recipe = dense.name = "dense";
    dense.threads = 1;
    dense.layers = {.bytes = 3200, .bits_per_weight = 16, .retained = 1.0};
    dense.quality = {.nll = 1.25, .agreement = 1.0, .peak_cache_bytes = 4096};
    dense.n_predictions = 77;
    dense.speed = dense.dense_speed = {100, 1000};
    dense.kv_bytes_full = 4096;
    dense.recall = 1.0;
    dense.each_layer = two_layers("").layers;
    std::vector<llm::row> rows{dense, dense, dense, dense, dense};
    for (std::size_t i = 1; i < 3; ++i) {
        rows[i].kv = "h2o";
        rows[i].kv_budget = 8 * i;
        rows[i].quality.peak_cache_bytes = 1024 * i;
        rows[i].quality.nll = 1.75;
        rows[i].recall = 0.25;
    }
    rows[3].recipe = rows[3].name = "nm:2:4<i8>";
    rows[3].layers = {.bytes = 900, .bits_per_weight = 4.5, .sparsity = 0.5, .retained = 0.75};
    rows[3].quality.kl = 0.125;
    rows[3].quality.nll = unknown;
    rows[4].recipe = rows[4].name = "i8";
    rows[4].layers.bits_per_weight = 8;
    rows[4].quality.kl = 0.001;

    const std::string page = llm::html(dense, rows);
    CHECK(fault_of(page) == "");
    CHECK_THAT(page, Contains("<h1>" + as_text + " - pare_llm</h1>") && !Contains(bad_name));
    CHECK_THAT(page, Contains("Measured on 77 predictions, 1 thread."));
    CHECK_THAT(page, Contains("nm:2:4&lt;i8&gt; only saves memory here"));
    CHECK_THAT(page, Contains("<title>nm:2:4&lt;i8&gt;: 4.5, 0.125</title>"));
    CHECK_THAT(page, Contains("<title>dense, h2o: 1 KiB, 1.75</title>") &&
                         Contains("<title>dense, h2o: 2 KiB, 25</title>"));
    CHECK(count(page, "<svg ") == 2 + 2 + 6);
    CHECK_THAT(llm::plot(rows), Contains("0.125") && !Contains(">dense<"));
    CHECK_THROWS_AS(llm::plot({rows.data(), 3}), tools::failure);
    for (llm::row& r : rows) r.kv = "full";
    CHECK_THAT(llm::html(dense, rows), !Contains("<h2>Caches"));
}
