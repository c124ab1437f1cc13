// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "llm/options.hpp"

#include "common/error.hpp"
#include "support/catch.hpp"

#include <cstddef>
#include <string>
#include <vector>

namespace {

using words = std::vector<std::string>;

llm::options parse(words line) {
    line.insert(line.begin(), "pare_llm");
    std::vector<char*> argv;
    for (std::string& word : line) argv.push_back(word.data());
    return *llm::parse_options(static_cast<int>(argv.size()), argv.data());
}

std::string refusal(const words& line) {
    try {
        parse(line);
    } catch (const tools::usage_error& e) {
        return e.what();
    }
    return "accepted";
}

}  // namespace

TEST_CASE("several values may follow one flag, or flags be repeated") {
    const words line = GENERATE(
        words{"--kv", "h2o", "window", "--budget", "32", "64", "--recipe", "dense", "nm:2:4"},
        words{"--kv", "h2o", "--recipe", "dense", "--kv", "window", "--budget", "32", "--recipe",
              "nm:2:4", "--budget", "64"});
    const llm::options o = parse(line);
    REQUIRE(o.caches.size() == 2);
    CHECK(o.caches[0].text == "h2o");
    CHECK(o.caches[1].text == "window");
    CHECK(o.recipes.size() == 2);
    CHECK(o.budgets == std::vector<std::size_t>{32, 64});
}

TEST_CASE("layers multiply floats unless they are told otherwise") {
    CHECK(parse({}).activations == tools::activation_kind::f32);
    CHECK(parse({"--activations", "f32"}).activations == tools::activation_kind::f32);
    CHECK(parse({"--activations", "i8"}).activations == tools::activation_kind::i8);
    CHECK_THAT(refusal({"--activations", "i4"}), Catch::Contains("i4 not in {f32,i8}"));
}

TEST_CASE("a budget that holds nothing is refused in a sentence") {
    CHECK(refusal({"--kv", "h2o", "--budget", "0"}) ==
          "--budget: '0' is not a number above 0; see --help");
    CHECK(refusal({"--kv", "h2o", "--budget-mib", "-0.5"}) ==
          "--budget-mib: '-0.5' is not a number above 0; see --help");
    for (const char* bad : {"nan", "inf", "1e999", "x", "2x"})
        CHECK(refusal({"--kv", "h2o", "--budget-mib", bad}) != "accepted");
    CHECK(parse({"--kv", "h2o", "--budget-mib", "0.25"}).budgets_mib[0] == 0.25);
}

TEST_CASE("a number outside its range is refused, and so is one that is none") {
    CHECK(refusal({"--temperature", "nan"}) ==
          "--temperature: 'nan' is not a number in [0 - 100]; see --help");
    CHECK(refusal({"--kv-chunk", "257"}) ==
          "--kv-chunk: '257' is not a number in [1 - 256]; see --help");
    for (const char* bad : {"-nan", "inf", "-0.5", "101", "x", "1x", ""})
        CHECK(refusal({"--temperature", bad}) != "accepted");
    CHECK(parse({"--temperature", "100"}).temperature == 100.0f);
    CHECK(parse({"--temperature", "0"}).temperature == 0.0f);
    CHECK(refusal({"--threads", "0"}) ==
          "--threads: '0' is not a number in [1 - 1024]; see --help");
}

TEST_CASE("a policy without a budget, and a budget without a policy, are refused") {
    CHECK(refusal({"--kv", "h2o"}) == "--kv h2o needs a --budget or --budget-mib");
    CHECK(refusal({"--budget", "8"}) == "--budget needs a --kv policy");
}
