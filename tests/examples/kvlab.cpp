// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "kvlab/run.hpp"

#include "common/error.hpp"
#include "html.hpp"
#include "io/files.hpp"
#include "llm/dataset.hpp"
#include "support/catch.hpp"
#include "support/data.hpp"
#include "support/metrics.hpp"

#include <pare/core/random.hpp>
#include <pare/io/safetensors_writer.hpp>

#include <array>
#include <cmath>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace {

namespace fs = std::filesystem;
using kvlab::full_attention, kvlab::outcome, kvlab::trace;
using pare::testing::count;

const fs::path bard = fs::path(PARE_SOURCE_DIR) / "examples" / "llm" / "bard";

kvlab::options parse(std::vector<std::string> words) {
    words.insert(words.begin(), "pare_kvlab");
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    return *kvlab::parse_options(static_cast<int>(argv.size()), argv.data());
}

outcome replay(
    const trace& t, const full_attention& full, const std::string& policy, std::size_t budget,
    const kvlab::observer& seen = [](auto&&...) {}) {
    pare::thread_pool alone(1);
    return kvlab::replay(t, full, {tools::parse_kv_recipe(policy), budget}, alone, seen);
}

/// One head whose query t gives position i <= t a probability proportional to weights[i].
trace trace_of(const std::vector<double>& weights,
               const std::vector<std::array<float, 2>>& values) {
    trace t;
    t.shape.n_layers = t.shape.n_heads = t.shape.n_kv_heads = 1;
    t.shape.head_dim = 2;
    trace::layer& layer = t.layers.emplace_back();
    for (std::size_t i = 0; i < weights.size(); ++i) {
        layer.q.insert(layer.q.end(), {1.0f, 0.0f});
        layer.k.insert(layer.k.end(),
                       {static_cast<float>(std::sqrt(2.0) * std::log(weights[i])), 0.0f});
        layer.v.insert(layer.v.end(), values[i].begin(), values[i].end());
    }
    return t;
}

trace random_trace(std::size_t n_tokens, std::size_t n_layers, std::size_t n_heads,
                   std::size_t n_kv_heads, std::size_t head_dim) {
    trace t;
    t.shape.n_layers = n_layers;
    t.shape.n_heads = n_heads;
    t.shape.n_kv_heads = n_kv_heads;
    t.shape.head_dim = head_dim;
    t.ids.resize(n_tokens, 1);
    t.layers.resize(n_layers);
    pare::random random(3);
    const auto fill = [&](std::vector<float>& x, std::size_t heads) {
        x.resize(n_tokens * heads * head_dim);
        for (float& number : x) number = 2.0f * random.symmetric();
    };
    for (trace::layer& l : t.layers)
        fill(l.q, n_heads), fill(l.k, n_kv_heads), fill(l.v, n_kv_heads);
    return t;
}

void check_equal(const trace& a, const trace& b) {
    CHECK(a.ids == b.ids);
    REQUIRE(a.layers.size() == b.layers.size());
    CHECK(a.shape.n_heads == b.shape.n_heads);
    CHECK(a.shape.n_kv_heads == b.shape.n_kv_heads);
    CHECK(a.shape.head_dim == b.shape.head_dim);
    for (std::size_t l = 0; l < a.layers.size(); ++l) {
        CHECK(a.layers[l].q == b.layers[l].q);
        CHECK(a.layers[l].k == b.layers[l].k);
        CHECK(a.layers[l].v == b.layers[l].v);
    }
}

// Rounding of probabilities that were stored as floats, and of outputs computed in them.
constexpr double half_ulp = 0x1p-24;

}  // namespace

TEST_CASE("mass, regret and output error are those computed by hand") {
    const trace t = trace_of({3, 1, 4}, {{1, 0}, {0, 1}, {0, 0}});
    const full_attention full(t);
    CHECK(full.probabilities(0, 0, 2)[0] == Approx(3.0 / 8));
    CHECK(full.probabilities(0, 0, 2)[2] == Approx(4.0 / 8));
    CHECK(full.output(0, 2)[0] == Approx(3.0 / 8));

    // A window of 1 shows query 2 the positions 1 and 2 of 0, 1 and 2, and the others everything.
    const outcome o = replay(t, full, "window", 1);
    CHECK(o.mass == Approx((1 + 1 + 5.0 / 8) / 3));
    CHECK(o.oracle == Approx((1 + 1 + 7.0 / 8) / 3));
    CHECK(o.regret() == Approx((2.0 / 8) / 3));
    CHECK(full.oracle_mass(1) == Approx(o.oracle));
    CHECK(full.oracle_mass(0) == Approx((1 + 1.0 / 4 + 4.0 / 8) / 3));
    // It gives (0, 1/5) in place of (3/8, 1/8).
    const double error = std::hypot(3.0 / 8, 3.0 / 40) / std::hypot(3.0 / 8, 1.0 / 8);
    CHECK(o.output_error == Approx(error / std::sqrt(3.0)).epsilon(1e-5));
}

TEST_CASE("the oracle keeps a query's own token, however little it weighs") {
    const full_attention full(trace_of({4, 3, 1}, {{1, 0}, {0, 1}, {0, 0}}));
    const auto best = full.best(0, 0, 2);
    CHECK(best[0] == Approx(1.0 / 8));
    CHECK(best[1] == Approx(5.0 / 8));
    CHECK(best[2] == Approx(1.0));
}

TEST_CASE("with a budget for everything nothing is lost") {
    const trace t = random_trace(50, 2, 4, 2, 6);
    const full_attention full(t);
    for (const char* policy : {"full", "window", "a2sf:0.9:0.5", "ada+tova", "random+every:4"}) {
        CAPTURE(policy);
        const outcome o = replay(t, full, policy, std::string(policy) == "full" ? 0 : 50);
        CHECK(o.mass == Approx(1.0).margin(50 * half_ulp));
        CHECK(o.regret() <= 50 * half_ulp);
        CHECK(o.output_error < 64 * half_ulp);
        CHECK(o.peak_bytes == o.full_bytes);
    }
}

TEST_CASE("no policy keeps more mass than the oracle, and larger budgets of a window keep more") {
    const trace t = random_trace(80, 2, 4, 2, 6);
    const full_attention full(t);
    for (const char* policy : {"window", "sinks:4+window", "h2o", "h2o_mean", "a2sf:0.1",
                               "a2sf:0.9:0.5", "tova", "snapkv:4", "key_norm", "random", "ada+h2o",
                               "pyramid+window", "pyramid+ada+h2o", "h2o+every:5"}) {
        double before = 0.0;
        for (const std::size_t budget : {12u, 20u, 40u}) {
            CAPTURE(policy, budget);
            const outcome o = replay(t, full, policy, budget);
            CHECK(o.mass <= o.oracle + half_ulp);
            CHECK(o.oracle <= 1.0 + half_ulp);
            CHECK(o.output_error > 0.01);
            if (std::string(policy) == "window") CHECK(o.mass > std::exchange(before, o.mass));
            if (std::string(policy) == "h2o") CHECK(o.oracle == Approx(full.oracle_mass(budget)));
        }
    }
}

TEST_CASE(
    "an observer sees the tokens that were there: budget + 1 of them, the newest among them") {
    const trace t = random_trace(40, 2, 4, 2, 6);
    const full_attention full(t);
    std::size_t n_calls = 0;
    kvlab::kept_map map("window", 40);
    replay(t, full, "window", 7,
           [&](std::size_t query, std::size_t, std::size_t, std::span<const std::uint32_t> seen) {
               CHECK(seen.size() == std::min<std::size_t>(query, 7) + 1);
               for (const std::uint32_t position : seen)
                   CHECK((position <= query && position + 7 >= query));
               if (n_calls++ % 4 == 0) map.add(query, seen);
           });
    CHECK(n_calls == 40 * 2 * 2);
    CHECK(map.share(20, 13) == 1.0);
    CHECK(map.share(20, 12) == 0.0);
    CHECK(map.share(20, 21) == 0.0);
}

TEST_CASE("ranges that a cache keeps stay, and what is impossible is refused before any replay") {
    const trace t = random_trace(40, 2, 4, 2, 6);
    const full_attention full(t);
    replay(t, full, "window+keep:3:5:9:10", 7,
           [&](std::size_t query, std::size_t, std::size_t, std::span<const std::uint32_t> seen) {
               for (const std::uint32_t kept : {3u, 4u, 9u})
                   CHECK((query < kept || std::count(seen.begin(), seen.end(), kept) == 1));
           });
    const kvlab::options o = parse({"--kv", "window", "sinks:8+window", "--budget", "7"});
    CHECK_THROWS_WITH(kvlab::replay_all(t, "t", o), Catch::Contains("sinks:8+window"));
}

TEST_CASE("a kept map of a long text has 256 cells a side, each a share of what it could show") {
    kvlab::kept_map map("window", 1024);
    CHECK(map.n_cells() == 256);
    const std::array<std::uint32_t, 2> positions{0, 1};
    for (std::size_t query = 0; query < 4; ++query)
        map.add(query, std::span(positions).first(query == 0 ? 1 : 2));
    CHECK(map.share(0, 0) == Approx(7.0 / 10));
    map.add(4, positions);
    CHECK(map.share(1, 0) == Approx(2.0 / 16));
    CHECK(map.share(0, 1) == 0.0);
}

TEST_CASE("a trace is read back as it was recorded, and replays to the same figures") {
    const pare::testing::temporary_folder folder;
    std::string name;
    kvlab::options o = parse({"--tokens", "96", "--budget", "16", "--kv", "h2o", "tova"});
    const trace recorded = kvlab::record_source(o, name);
    CHECK(name == "bard");
    CHECK(recorded.n_tokens() == 96);
    const std::string file = folder / "trace.safetensors";
    kvlab::write_trace(recorded, file);
    const trace read = kvlab::read_trace(file);
    check_equal(recorded, read);

    const kvlab::study a = kvlab::replay_all(recorded, "a", o), b = kvlab::replay_all(read, "b", o);
    REQUIRE(a.outcomes.size() == 2);
    for (std::size_t i = 0; i < 2; ++i) {
        CHECK(a.outcomes[i].mass == b.outcomes[i].mass);
        CHECK(a.outcomes[i].oracle == b.outcomes[i].oracle);
        CHECK(a.outcomes[i].output_error == b.outcomes[i].output_error);
        CHECK(a.outcomes[i].peak_bytes == b.outcomes[i].peak_bytes);
    }
}

TEST_CASE("a trace that lacks a tensor, differs in shape or holds a NaN is refused") {
    const pare::testing::temporary_folder folder;
    const std::string file = folder / "trace.safetensors";
    const auto refused = [&](const trace& t) {
        kvlab::write_trace(t, file);
        CHECK_THROWS_AS(kvlab::read_trace(file), tools::failure);
    };
    trace t = random_trace(4, 2, 2, 1, 2);
    t.layers[1].v[3] = NAN;
    refused(t);
    t = random_trace(4, 2, 3, 2, 2);
    refused(t);
    pare::io::safetensors_writer out(file);
    const std::size_t shape[] = {4, 2, 2};
    const std::vector<float> q(16);
    out.add("layer0.q_rope", pare::io::dtype::f32, shape, std::as_bytes(std::span(q)));
    REQUIRE(out.commit());
    CHECK_THROWS_WITH(kvlab::read_trace(file), Catch::Contains("layer0.k_rope"));
    CHECK_THROWS_AS(kvlab::read_trace(folder / "absent.safetensors"), tools::failure);
}

TEST_CASE("the CSV has a header and a line of as many numbers for every outcome") {
    kvlab::study s;
    s.n_tokens = 99;
    s.outcomes = {{"sinks:4+window", 16, 0.5, 0.75, 0.125, 100, 400, 0.001},
                  {"full", 0, 1.0, 1.0, 0.0, 400, 400, 0.002}};
    std::istringstream text(kvlab::csv(s));
    std::vector<std::vector<std::string>> lines;
    for (std::string line; std::getline(text, line);) {
        auto& fields = lines.emplace_back();
        std::istringstream in(line);
        for (std::string field; std::getline(in, field, ',');) fields.push_back(field);
    }
    REQUIRE(lines.size() == 3);
    CHECK(lines[0] == std::vector<std::string>{"policy", "budget", "mass", "oracle", "regret",
                                               "output_error", "peak_bytes", "full_bytes",
                                               "seconds"});
    CHECK(lines[1] == std::vector<std::string>{"sinks:4+window", "16", "0.5", "0.75", "0.25",
                                               "0.125", "100", "400", "0.001"});
    CHECK(lines[2][1] == "99");
}

TEST_CASE("the HTML escapes names, has a figure for each thing and needs nothing from outside") {
    kvlab::options o = parse({"--budget", "8", "16", "--kv", "window", "h2o", "--html", "unused"});
    const std::string page =
        kvlab::html(kvlab::replay_all(random_trace(300, 2, 2, 1, 2), "<a & 'b'>", o));
    CHECK_THAT(page, Catch::Contains("<title>&lt;a &amp; &#39;b&#39;&gt;"));
    CHECK(pare::testing::fault_of(page) == "");
    CHECK_THAT(page, !Catch::Contains("nan"));
    CHECK(count(page, "<figure>") == 3);
    CHECK(count(page, "<svg ") == 2 + 2);
    CHECK(count(page, "<figcaption>") == 3);
    CHECK(count(page, "<tr>") == 1 + 4);
}

TEST_CASE("command lines that make no sense are refused") {
    using words = std::vector<std::string>;
    const words bad =
        GENERATE(words{"--kv", "lru"}, words{"--budget", "0"}, words{"record"}, words{"replay"},
                 words{"--kv", "h2o", "replay", "t.safetensors"}, words{"--map-budget", "17"},
                 words{"--html", "/no/such/folder/a.html"}, words{"erase"}, words{"--tokens", "1"});
    CHECK_THROWS_AS(parse(bad), tools::usage_error);
    const kvlab::options o = parse({"replay", "t.safetensors", "--budget", "64", "8", "8"});
    CHECK(o.budgets == std::vector<std::size_t>{8, 64});
    CHECK(o.caches.size() == 9);
    CHECK(o.map_budget == 64u);
    CHECK(o.trace == "t.safetensors");
    CHECK(parse({"replay", "t.safetensors", "--threads", "3"}).threads == 3);
    CHECK(parse({"--threads", "3", "replay", "t.safetensors"}).threads == 3);
    CHECK(parse({}).model == (bard / "bard.safetensors").string());
}

TEST_CASE("stories260k gives the golden queries, keys and values, and their attention") {
    PARE_DATA_OR_SKIP(folder, "stories260k");
    const trace golden = kvlab::read_trace(folder / "golden_512.safetensors");
    kvlab::options o;
    o.model = folder.string();
    o.ids = (folder / "golden_512.safetensors").string();
    std::string name;
    const trace recorded = kvlab::record_source(o, name);
    CHECK(recorded.ids == golden.ids);
    REQUIRE(recorded.layers.size() == 5);
    for (std::size_t l = 0; l < 5; ++l) {
        using pare::testing::max_abs_error;
        CHECK(max_abs_error(recorded.layers[l].q, golden.layers[l].q) < 1e-4);
        CHECK(max_abs_error(recorded.layers[l].k, golden.layers[l].k) < 1e-4);
        CHECK(max_abs_error(recorded.layers[l].v, golden.layers[l].v) < 1e-4);
    }
    // The library's attention against the definition in double.
    const full_attention full(golden);
    const outcome all = replay(golden, full, "full", 0);
    CHECK(all.mass == Approx(1.0).margin(512 * half_ulp));
    CHECK(all.output_error < 64 * half_ulp);
    CHECK(replay(golden, full, "full+f16", 0).output_error > 64 * half_ulp);
}
