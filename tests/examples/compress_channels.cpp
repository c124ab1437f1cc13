// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "compress/channels.hpp"

#include "common/model_file.hpp"
#include "common/tensors.hpp"
#include "compress_runs.hpp"
#include "io/gguf_file.hpp"

#include <pare/eigen/least_squares_repair.hpp>
#include <pare/io/input_sums.hpp>
#include <pare/prune/observer.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

// Channels that pare_compress takes out of a model by a recipe file.

namespace {

using namespace pare::testing;

constexpr std::size_t width = 16, hidden = 32, n_tokens = 200;

// Two feed-forward parts. Channels of `small` matter least to the weights of the first.
const std::vector<std::uint32_t> small{1, 2, 5, 9, 17, 22, 30, 31};

tensors two_parts() {
    pare::random random(3);
    tensors t;
    for (const std::string at : {"l.0.", "l.1."}) {
        t[at + "gate.weight"] = random_tensor({hidden, width}, random);
        t[at + "gate.bias"] = random_tensor({hidden}, random);
        t[at + "up.weight"] = random_tensor({hidden, width}, random);
        t[at + "norm.scale"] = random_tensor({hidden, 3}, random);
        t[at + "down.weight"] = random_tensor({width, hidden}, random);
    }
    for (const std::uint32_t c : small)
        for (const std::string name : {"l.0.gate.weight", "l.0.up.weight"})
            for (std::size_t i = 0; i < width; ++i) t[name].values[c * width + i] *= 0.01f;
    return t;
}

std::vector<std::uint32_t> without_small() {
    std::vector<std::uint32_t> kept;
    for (std::uint32_t c = 0; c < hidden; ++c)
        if (std::ranges::find(small, c) == small.end()) kept.push_back(c);
    return kept;
}

tensor rows_of(const tensor& t, const std::vector<std::uint32_t>& kept) {
    tensor left{t.shape, {}};
    left.shape[0] = kept.size();
    const std::size_t n = t.values.size() / t.shape[0];
    for (const std::uint32_t r : kept)
        left.values.insert(left.values.end(), &t.values[r * n], &t.values[r * n] + n);
    return left;
}

tensor columns_of(const tensor& t, const std::vector<std::uint32_t>& kept) {
    tensor left{{t.shape[0], kept.size()}, {}};
    for (std::size_t r = 0; r < t.shape[0]; ++r)
        for (const std::uint32_t c : kept) left.values.push_back(t.values[r * t.shape[1] + c]);
    return left;
}

// What each down projection reads: features that are much like their neighbours.
tensor inputs_of_down() {
    pare::random random(9);
    tensor x = random_tensor({n_tokens, hidden}, random);
    for (std::size_t i = 1; i < x.values.size(); ++i) x.values[i] += 0.8f * x.values[i - 1];
    return x;
}

pare::prune::input_observer observe(const tensor& x) {
    auto seen = pare::prune::input_observer::make(x.shape[1], true);
    REQUIRE(seen->add({x.values.data(), x.shape[0], x.shape[1]}));
    return *std::move(seen);
}

void write_sums(const std::string& file, const tensor& x) {
    const auto seen = observe(x);
    const pare::prune::input_sums sums = seen.sums();
    pare::io::safetensors_writer out(file);
    for (const char* const name : {"l.0.down.weight", "l.1.down.weight"}) out.add(name, sums);
    REQUIRE(out.commit());
}

std::string choice(const std::string& recipe, const std::string& part = "*") {
    return R"({"writers": [")" + part + R"(.gate", ")" + part + R"(.up"], "between": [")" + part +
           R"(.norm.scale"], "readers": [")" + part + R"(.down"], "recipe": ")" + recipe + "\"}";
}

struct parts_file : small_file {
    explicit parts_file(const tensors& t = two_parts()) : small_file(t) {
        write_sums(folder / "sums", inputs_of_down());
    }
    std::string recipes = folder / "recipes.json";

    /// Runs by a recipe file of these choices. @return why it fails
    std::string run(const std::string& choices, const std::string& recipe = "dense",
                    const std::string& to = "") {
        write_text(recipes, R"({"recipe": ")" + recipe +
                                R"(", "calibration": "sums", "channels": [)" + choices + "]}");
        return refusal({in, to.empty() ? out : to, "--force", "--recipe-file", recipes});
    }
    tensors read(const std::string& file) const {
        tensors all;
        const tools::model_file model(file);
        for (const auto& [name, t] : model.tensors())
            all[name] = {{t.shape().begin(), t.shape().end()}, tools::read_floats(t.dense())};
        return all;
    }
    tensors left() const { return read(out); }
};

}  // namespace

TEST_CASE("channels leave writers, what is between and readers together") {
    parts_file f;
    const tensors whole = two_parts();
    REQUIRE(f.run(choice("channel:l2:0.25", "l.0")) == "");
    const tensors left = f.left();
    const auto kept = without_small();
    for (const char* const name :
         {"l.0.gate.weight", "l.0.up.weight", "l.0.gate.bias", "l.0.norm.scale"})
        CHECK(left.at(name) == rows_of(whole.at(name), kept));
    CHECK(left.at("l.0.down.weight") == columns_of(whole.at("l.0.down.weight"), kept));
    for (const auto& [name, t] : whole)
        if (name.starts_with("l.1.")) CHECK(left.at(name) == t);
}

TEST_CASE("each group of a choice loses its share, or all together do") {
    parts_file f;
    const auto channels_of = [&](const std::string& choices) {
        REQUIRE(f.run(choices) == "");
        const tensors left = f.left();
        std::vector<std::size_t> n;
        for (const char* const name : {"l.0.gate.weight", "l.1.gate.weight"})
            n.push_back(left.at(name).shape[0]);
        return n;
    };
    CHECK(channels_of(choice("channel:l1:0.25")) == std::vector<std::size_t>{24, 24});
    CHECK(channels_of(choice("channel:l1:0.2:m8")) == std::vector<std::size_t>{24, 24});
    CHECK(channels_of(choice("channel:l1:0.1:global")) == std::vector<std::size_t>{25, 32});
    CHECK(channels_of(choice("channel:geometric_median:0.5")) == std::vector<std::size_t>{16, 16});
    CHECK(channels_of(choice("channel:activation:0.25")) == std::vector<std::size_t>{24, 24});
    CHECK(channels_of(choice("channel:l1:0.25") + "," + choice("dense", "l.1")) ==
          std::vector<std::size_t>{24, 32});
    CHECK(channels_of(choice("channel:l1:0.25") + "," + choice("channel:l1:0.5", "l.0")) ==
          std::vector<std::size_t>{16, 24});
}

TEST_CASE("the channels that the calibration saw least of go first") {
    parts_file f;
    tensor x = inputs_of_down();
    for (std::size_t i = 0; i < x.values.size(); ++i)
        if (std::ranges::find(small, i % hidden) != small.end()) x.values[i] *= 0.01f;
    write_sums(f.folder / "sums", x);
    REQUIRE(f.run(choice("channel:activation:0.25")) == "");
    CHECK(f.left().at("l.1.up.weight") ==
          rows_of(two_parts().at("l.1.up.weight"), without_small()));
}

TEST_CASE("readers are repaired by least squares on the calibration") {
    parts_file f;
    REQUIRE(f.run(choice("channel:l2:0.25+repair", "l.0")) == "");
    const tensor found = f.left().at("l.0.down.weight"), w = two_parts().at("l.0.down.weight"),
                 x = inputs_of_down();
    const auto kept = without_small();
    std::vector<float> expected(width * kept.size());
    REQUIRE(pare::eigen::least_squares_repair{}.fold({w.values.data(), width, hidden}, 1, kept,
                                                     observe(x).sums().gram,
                                                     {expected.data(), width, kept.size()}, {}));
    CHECK(found.values == expected);

    const auto error_of = [&](const tensor& left) {
        double sum = 0.0;
        for (std::size_t t = 0; t < n_tokens; ++t)
            for (std::size_t o = 0; o < width; ++o) {
                double y = 0.0;
                for (std::size_t c = 0; c < hidden; ++c)
                    y += static_cast<double>(x.values[t * hidden + c] * w.values[o * hidden + c]);
                for (std::size_t c = 0; c < kept.size(); ++c)
                    y -= static_cast<double>(x.values[t * hidden + kept[c]] *
                                             left.values[o * kept.size() + c]);
                sum += y * y;
            }
        return sum;
    };
    CHECK(error_of(found) < 0.7 * error_of(columns_of(w, kept)));
}

TEST_CASE("a repaired weight that its type does not hold is refused") {
    parts_file f;
    tensors t = two_parts();
    for (float& w : t["l.0.down.weight"].values) w = 6e4f;
    write_model<pare::f16>(f.in, t, "");
    CHECK(f.run(choice("channel:l2:0.25", "l.0")) == "");
    CHECK_THAT(
        f.run(choice("channel:l2:0.25+repair", "l.0")),
        Catch::EndsWith("tensor 'l.0.down.weight': a repaired weight does not fit its type"));
}

TEST_CASE("what is done to weights sees those that are left and what they read") {
    const std::string recipe = GENERATE("nm:2:4+wanda", "nm:2:4+i8+gptq", "i4", "hinm:2:4:v8:0.5");
    const std::string channels = GENERATE("channel:l2:0.25", "channel:l2:0.25+repair");
    CAPTURE(recipe, channels);
    parts_file f;
    const std::string layers = R"(], "layers": [{"names": "*.gate", "recipe": "dense"},)"
                               R"({"names": "*.up", "recipe": "dense"})";
    const std::string at_once = f.folder / "at_once", then = f.folder / "then";
    REQUIRE(f.run(choice(channels, "l.0") + "," + choice(channels, "l.1") + layers, recipe,
                  at_once) == "");

    REQUIRE(f.run(choice(channels, "l.0") + "," + choice(channels, "l.1")) == "");
    const auto kept = without_small();
    REQUIRE(f.left().at("l.0.down.weight").shape[1] == kept.size());
    write_sums(f.folder / "sums", columns_of(inputs_of_down(), kept));
    f.in = f.out;
    write_text(f.recipes, R"({"recipe": ")" + recipe + R"(", "calibration": "sums", "layers": [)" +
                              R"({"names": "*.gate", "recipe": "dense"},)" +
                              R"({"names": "*.up", "recipe": "dense"},)" +
                              R"({"names": "l.1.down", "recipe": "dense"}]})");
    compress({f.in, then, "--recipe-file", f.recipes});
    const auto a = pare::io::safetensors_reader::open(at_once.c_str());
    const auto b = pare::io::safetensors_reader::open(then.c_str());
    std::size_t n_compared = 0;
    for (const auto& t : b->tensors()) {
        if (!t.name.starts_with("l.0.down")) continue;
        const auto other = a->find(t.name);
        REQUIRE(other);
        CHECK(std::ranges::equal(t.bytes, other->bytes));
        ++n_compared;
    }
    CHECK(n_compared > 0);
}

TEST_CASE("convolutions lose filters and the norms behind them, and flat maps their pixels") {
    pare::random random(5);
    tensors t;
    t["c1.weight"] = random_tensor({8, 3, 3, 3}, random);
    t["c1.bias"] = random_tensor({8}, random);
    t["bn1.weight"] = random_tensor({8}, random);
    t["c2.weight"] = random_tensor({12, 8, 3, 3}, random);
    t["fc.weight"] = random_tensor({5, 12 * 4}, random);
    parts_file f(t);
    REQUIRE(f.run(R"({"writers": ["c1"], "between": ["bn1"], "readers": ["c2"], "recipe":
                     "channel:l2:0.5"}, {"writers": ["c2"], "readers": ["fc"], "recipe":
                     "channel:l2:0.25"})") == "");
    const tensors left = f.left();
    CHECK(left.at("c1.weight").shape == std::vector<std::size_t>{4, 3, 3, 3});
    CHECK(left.at("bn1.weight").shape == std::vector<std::size_t>{4});
    CHECK(left.at("c2.weight").shape == std::vector<std::size_t>{9, 4, 3, 3});
    REQUIRE(left.at("fc.weight").shape == std::vector<std::size_t>{5, 9 * 4});

    // The filters that are left tell which they were; what reads them has their pixels.
    const auto norm = [&](std::size_t c) {
        double sum = 0.0;
        for (std::size_t i = 0; i < 72; ++i)
            sum += std::pow(static_cast<double>(t["c2.weight"].values[c * 72 + i]), 2);
        return sum;
    };
    std::vector<std::uint32_t> order(12);
    for (std::uint32_t c = 0; c < 12; ++c) order[c] = c;
    std::ranges::sort(order, [&](auto a, auto b) { return norm(a) > norm(b); });
    order.resize(9);
    std::ranges::sort(order);
    std::vector<std::uint32_t> pixels;
    for (const std::uint32_t c : order)
        for (std::uint32_t p = 0; p < 4; ++p) pixels.push_back(4 * c + p);
    CHECK(left.at("fc.weight") == columns_of(t["fc.weight"], pixels));
}

TEST_CASE("a name that ends in a star is of weights") {
    pare::random random(5);
    tensors t;
    t["fc1.weight"] = random_tensor({8, 16}, random);
    t["fc1.bias"] = random_tensor({8}, random);
    t["norm1.weight"] = random_tensor({8}, random);
    t["norm1.bias"] = random_tensor({8}, random);
    t["out1.weight"] = random_tensor({16, 8}, random);
    t["out1.bias"] = random_tensor({16}, random);
    parts_file f(t);
    REQUIRE(f.run(R"({"writers": ["fc*"], "between": ["norm*", "norm*.bias"], "readers": ["out*"],
                      "recipe": "channel:l2:0.5"})") == "");
    const tensors left = f.left();
    for (const char* const name : {"fc1.weight", "fc1.bias", "norm1.weight", "norm1.bias"})
        CHECK(left.at(name).shape[0] == 4);
    CHECK(left.at("out1.weight").shape[1] == 4);
    CHECK(left.at("out1.bias") == t["out1.bias"]);
}

TEST_CASE("tensors of GGUF's own types lose channels as floats") {
    parts_file f;
    std::string codes;
    for (int i = 0; i < 32; ++i) codes += static_cast<char>(i - 16);
    const std::string one = bytes_of(std::uint16_t{0x3c00}) + codes,  // times 1
        half = bytes_of(std::uint16_t{0x3800}) + codes;
    f.in = f.folder / "in.gguf";
    write_text(f.in, gguf_file()
                         .tensor("blk.0.ffn_up.weight", {32, 2}, 8, half + one)
                         .tensor("blk.0.ffn_down.weight", {2, 1}, 0, bytes_of(3.0f, 4.0f))
                         .bytes());
    REQUIRE(f.run(R"({"writers": ["*.ffn_up"], "readers": ["*.ffn_down"],
                      "recipe": "channel:l2:0.5"})") == "");
    const tensors left = f.left();
    CHECK(left.at("blk.0.ffn_up.weight").shape == std::vector<std::size_t>{1, 32});
    CHECK(left.at("blk.0.ffn_up.weight").values[0] == -16.0f);
    CHECK(left.at("blk.0.ffn_down.weight").values == std::vector<float>{4.0f});
}

TEST_CASE("a bf16 model stays one, and pare_llm runs it as if the channels were zero") {
    const temporary_folder folder;
    const std::string recipes = folder / "recipes.json", out = folder / "bard.safetensors",
                      masked = folder / "masked.safetensors";
    write_text(recipes, R"({"recipe": "dense", "channels": [{"recipe": "channel:l2:0.25:global",
        "writers": ["*.gate_proj", "*.up_proj"], "readers": ["*.down_proj"]}]})");
    compress({(bard / "bard.safetensors").string(), out, "--recipe-file", recipes});

    const tools::model_file whole(bard / "bard.safetensors"), left(out);
    tensors zeroed;
    for (const auto& [name, t] : whole.tensors())
        zeroed[name] = {{t.shape().begin(), t.shape().end()}, tools::read_floats(t.dense())};
    std::size_t n_left = 0;
    for (auto& [name, t] : zeroed) {
        if (!name.ends_with("gate_proj.weight")) continue;
        const tools::model_tensor& gate = *left.find(name);
        CHECK(gate.dense().type == pare::io::dtype::bf16);
        const std::vector<float> values = tools::read_floats(gate.dense());
        const std::size_t cols = t.shape[1];
        std::size_t next = 0;
        for (std::size_t r = 0; r < t.shape[0]; ++r) {
            const auto row = t.values.begin() + static_cast<std::ptrdiff_t>(r * cols);
            if (next < gate.shape()[0] &&
                std::equal(row, row + static_cast<std::ptrdiff_t>(cols), &values[next * cols]))
                ++next;
            else std::fill_n(row, cols, 0.0f);
        }
        CHECK(next == gate.shape()[0]);
        n_left += next;
    }
    CHECK(n_left == 4 * 512 * 3 / 4);
    const auto config = pare::io::safetensors_reader::open((bard / "bard.safetensors").c_str());
    write_model<pare::bf16>(masked, zeroed, std::string(*config->metadata("config")));

    pare::thread_pool run(2);
    const llm::checkpoint cut_source(out), masked_source(masked);
    CHECK(cut_source.hidden_dim(0) < 512);
    const auto a = logits_of(llm::model(cut_source, {}, {}, run)),
               b = logits_of(llm::model(masked_source, {}, {}, run));
    float largest = 0.0f, apart = 0.0f;
    for (std::size_t i = 0; i < a.size(); ++i) {
        largest = std::max(largest, std::fabs(b[i]));
        apart = std::max(apart, std::fabs(a[i] - b[i]));
    }
    CHECK(apart <= 1e-5f * largest);
}

TEST_CASE("finished layers are only taken again where the same channels left") {
    tensors sick = two_parts();
    sick["l.1.down.weight"].values[7] = std::nanf("");
    parts_file f(sick);
    CHECK_THAT(f.run(choice("channel:l2:0.25"), "nm:2:4"), Catch::Contains("l.1.down.weight"));
    CHECK(std::filesystem::exists(f.out + ".parts"));
    write_model(f.in, two_parts(), R"({"a":1})");
    REQUIRE(f.run(choice("channel:l1:0.5"), "nm:2:4") == "");
    REQUIRE(f.run(choice("channel:l1:0.5"), "nm:2:4", f.folder / "fresh") == "");
    CHECK(read_text(f.out) == read_text(f.folder / "fresh"));
}

TEST_CASE("the table is of what is left, and a dry run writes nothing") {
    parts_file f;
    write_text(f.recipes,
               R"({"recipe": "dense", "channels": [)" + choice("channel:l2:0.25") + "]}");
    const std::string json = f.folder / "table.json";
    compress({f.in, "--dry-run", "--recipe-file", f.recipes, "--json", json, "--threads", "3"});
    const std::string table = read_text(json);
    CHECK_THAT(table, Catch::Contains("l.1.down.weight"));
    CHECK_FALSE(std::filesystem::exists(f.out));
    REQUIRE(f.run(choice("channel:l2:0.25")) == "");
    compress({f.in, f.folder / "by_one", "--recipe-file", f.recipes, "--threads", "1"});
    CHECK(read_text(f.out) == read_text(f.folder / "by_one"));
}

TEST_CASE("channels that cannot leave are refused with names") {
    parts_file f;
    const auto refused = [&](const std::string& choices) {
        const std::string why = f.run(choices);
        CHECK_FALSE(std::filesystem::exists(f.out));
        return why;
    };
    const auto of = [](const std::string& writers, const std::string& readers,
                       const std::string& recipe = "channel:l2:0.25") {
        return R"({"writers": [)" + writers + R"(], "readers": [)" + readers + R"(], "recipe": ")" +
               recipe + "\"}";
    };
    const std::string up = R"("*.gate", "*.up")", down = R"("*.down")";
    CHECK_THAT(refused("{}"), Catch::EndsWith("channels[0]: the key 'writers' is missing"));
    CHECK_THAT(refused(R"({"writers": ["a"]})"),
               Catch::EndsWith("channels[0]: the key 'readers' is missing"));
    CHECK_THAT(refused(R"({"writers": ["a"], "readers": ["b"]})"),
               Catch::EndsWith("channels[0]: the key 'recipe' is missing"));
    CHECK_THAT(refused(of(R"("*.*.gate")", down)),
               Catch::EndsWith("channels[0].writers[0]: more than one *"));
    CHECK_THAT(refused(of(up, R"("l.0.down")")),
               Catch::EndsWith("some names have a * and some have none"));
    CHECK_THAT(refused(of(up, down, "nm:2:4")), Catch::Contains("'recipe' and 'layers'"));
    CHECK_THAT(refused(of(up, down, "channel:l2:1.5")), Catch::Contains("channel:C:S"));
    CHECK_THAT(refused(of(up, down, "channel:taylor:0.5")), Catch::Contains("criteria here are"));
    CHECK_THAT(refused(of(up, down, "channel:l1:0.5:group")), Catch::Contains("scopes here are"));
    CHECK_THAT(refused(of(R"("*.gat")", down)),
               Catch::EndsWith("channels[0]: no tensor's name fits '*.gat'"));
    CHECK_THAT(refused(of(R"("*.gate", "*.upper")", down)),
               Catch::EndsWith("no tensor's name fits '*.upper' where * is 'l.0'"));
    CHECK_THAT(refused(of(R"("l.*.gate", "l.*.up")", R"("*.down")")),
               Catch::EndsWith("no tensor's name fits '*.down' where * is '0'"));
    CHECK_THAT(refused(of(R"("l.0.gate")", R"("l.0.out")")),
               Catch::EndsWith("no tensor's name fits 'l.0.out'"));
    CHECK_THAT(refused(of(up, R"("*.norm.scale")")),
               Catch::Contains("'l.0.norm.scale' does not read the 32 channels of"));
    CHECK_THAT(refused(of(R"("*.gate", "*.down")", R"("*.up")")),
               Catch::Contains("'l.0.down.weight' has no row for each of the 32 channels"));
    CHECK_THAT(refused(of(R"("*.gate.bias")", down)), Catch::EndsWith("is no matrix of floats"));
    CHECK_THAT(refused(of(up, down) + "," + of(R"("*.gate")", down)),
               Catch::Contains("'l.0.gate.weight' would lose rows twice"));
    CHECK_THAT(refused(of(R"("*.gate")", down) + "," + of(R"("*.up")", down)),
               Catch::Contains("'l.0.down.weight' would lose columns twice"));

    tensors odd = two_parts();
    odd.erase("l.1.gate.weight");
    write_model(f.in, odd, "");
    CHECK_THAT(refused(of(up, down)),
               Catch::Contains("there is a 'l.1.up.weight', but no '*.gate'"));
    odd = two_parts();
    odd["l.0.up.weight"].values[3] = std::nanf("");
    write_model(f.in, odd, "");
    CHECK_THAT(refused(of(up, down)),
               Catch::Contains("'l.0.up.weight'") && Catch::Contains("not finite"));
}

TEST_CASE("repair and activations need a calibration of the readers with all their inputs") {
    parts_file f;
    const std::string repair = choice("channel:l2:0.25+repair"), plain = choice("channel:l2:0.25");
    write_text(f.recipes, R"({"recipe": "dense", "channels": [)" + repair + "]}");
    CHECK_THAT(refusal({f.in, f.out, "--recipe-file", f.recipes}),
               Catch::Contains("recipe 'channel:l2:0.25+repair' needs --calibration"));

    const auto seen = observe(inputs_of_down());
    const auto save = [&](pare::prune::input_sums sums, const char* name) {
        pare::io::safetensors_writer out(f.folder / "sums");
        out.add(name, sums);
        REQUIRE(out.commit());
    };
    save(seen.sums(), "other.weight");
    CHECK_THAT(f.run(repair),
               Catch::EndsWith("'l.0.down.weight': the calibration has no such layer"));
    CHECK(f.run(plain) == "");
    auto sums = seen.sums();
    sums.gram = {};
    save(sums, "l.0.down.weight");
    CHECK_THAT(f.run(repair), Catch::Contains("no Gram matrix, which repair needs"));
    CHECK(f.run(plain) == "");
    save(observe(columns_of(inputs_of_down(), without_small())).sums(), "l.0.down.weight");
    CHECK_THAT(f.run(plain), Catch::Contains("the calibration has 24 inputs, the layer 32"));
}
