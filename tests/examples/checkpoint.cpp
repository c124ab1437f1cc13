// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "llm/checkpoint.hpp"

#include "common/error.hpp"
#include "examples/model_file.hpp"
#include "io/files.hpp"
#include "llm/model.hpp"
#include "support/catch.hpp"
#include "support/metrics.hpp"

#include <nlohmann/json.hpp>
#include <cmath>
#include <string>
#include <vector>

namespace {

using nlohmann::json;
using pare::testing::temporary_folder, pare::testing::tensors, pare::testing::write_model;
using pare::testing::tensor;

constexpr std::size_t vocab = 23, dim = 24, hidden = 20, n_layers = 2, n_heads = 4, n_kv_heads = 2,
                      head_dim = 6, context = 40;

json shape_of_model() {
    return {{"model_type", "llama"},
            {"vocab_size", vocab},
            {"hidden_size", dim},
            {"intermediate_size", hidden},
            {"num_hidden_layers", n_layers},
            {"num_attention_heads", n_heads},
            {"num_key_value_heads", n_kv_heads},
            {"max_position_embeddings", context},
            {"rope_theta", 100.0}};
}

// A random model under Hugging Face's names: untied, query biases, every shape different.
tensors random_model() {
    pare::random random(11);
    tensors t;
    const auto add = [&](const std::string& name, std::vector<std::size_t> shape) {
        t[name] = pare::testing::random_tensor(std::move(shape), random);
    };
    add("model.embed_tokens.weight", {vocab, dim});
    add("model.norm.weight", {dim});
    add("lm_head.weight", {vocab, dim});
    for (std::size_t l = 0; l < n_layers; ++l) {
        const std::string at = "model.layers." + std::to_string(l) + ".";
        add(at + "input_layernorm.weight", {dim});
        add(at + "post_attention_layernorm.weight", {dim});
        add(at + "self_attn.q_proj.weight", {n_heads * head_dim, dim});
        add(at + "self_attn.q_proj.bias", {n_heads * head_dim});
        add(at + "self_attn.k_proj.weight", {n_kv_heads * head_dim, dim});
        add(at + "self_attn.v_proj.weight", {n_kv_heads * head_dim, dim});
        add(at + "self_attn.o_proj.weight", {dim, n_heads * head_dim});
        add(at + "mlp.gate_proj.weight", {hidden, dim});
        add(at + "mlp.up_proj.weight", {hidden, dim});
        add(at + "mlp.down_proj.weight", {dim, hidden});
    }
    return t;
}

// The same model as the original Llama stores it: other names, and the rows of q and k reordered so
// that the two halves of a rotary pair are neighbours.
tensors as_original_llama(const tensors& hf) {
    const std::vector<std::pair<std::string, std::string>> renamed{
        {"model.embed_tokens", "tok_embeddings"},
        {"model.", ""},
        {"lm_head", "output"},
        {"self_attn.q_proj", "attention.wq"},
        {"self_attn.k_proj", "attention.wk"},
        {"self_attn.v_proj", "attention.wv"},
        {"self_attn.o_proj", "attention.wo"},
        {"mlp.gate_proj", "feed_forward.w1"},
        {"mlp.down_proj", "feed_forward.w2"},
        {"mlp.up_proj", "feed_forward.w3"},
        {"input_layernorm", "attention_norm"},
        {"post_attention_layernorm", "ffn_norm"}};
    tensors made;
    for (const auto& [old_name, old_tensor] : hf) {
        std::string name = old_name;
        tensor t = old_tensor;
        if (name.find("q_proj") != name.npos || name.find("k_proj") != name.npos) {
            const std::size_t cols = t.shape.size() == 1 ? 1 : t.shape[1];
            const std::vector<float> from = t.values;
            for (std::size_t r = 0; r < t.shape[0]; ++r) {
                const std::size_t head = r / head_dim * head_dim, i = r % head_dim;
                const std::size_t source = head + i / 2 + (i % 2) * (head_dim / 2);
                for (std::size_t c = 0; c < cols; ++c)
                    t.values[r * cols + c] = from[source * cols + c];
            }
        }
        for (const auto& [old_part, new_part] : renamed)
            if (const auto at = name.find(old_part); at != name.npos)
                name.replace(at, old_part.size(), new_part);
        made[name] = std::move(t);
    }
    return made;
}

std::vector<float> logits_of(const std::filesystem::path& path,
                             const std::string& recipe = "dense") {
    const llm::checkpoint source(path);
    pare::thread_pool run(1);
    const llm::model m(source, tools::parse_recipe(recipe), {}, run);
    llm::session s(m, context);
    const std::vector<llm::token> ids{3, 1, 4, 1, 5, 9, 2, 6};
    std::vector<float> logits(ids.size() * vocab);
    m.forward(ids, s, {logits.data(), ids.size(), vocab});
    return logits;
}

std::string refusal(const std::filesystem::path& path) {
    try {
        llm::checkpoint source(path);
    } catch (const tools::failure& e) {
        return e.what();
    }
    return "";
}

// Sums of some 24 products of values in [-1, 1], four times in a row, in another order.
constexpr double rounding = 1e-4;

}  // namespace

TEST_CASE("both naming schemes, one file or shards, give the same model") {
    const temporary_folder folder;
    const tensors model = random_model();
    write_model(folder / "hf.safetensors", model, shape_of_model().dump());
    const std::vector<float> expected = logits_of(folder / "hf.safetensors");
    double largest = 0.0;
    for (const float x : expected) largest = std::max(largest, std::abs(static_cast<double>(x)));
    REQUIRE(largest > 1.0);

    SECTION("original Llama, rotary pairs interleaved, configuration of llama2.c beside it") {
        write_model(folder / "llama.safetensors", as_original_llama(model), "");
        const json config{{"dim", "24"},       {"hidden_dim", "20"}, {"n_layers", "2"},
                          {"n_heads", "4"},    {"n_kv_heads", "2"},  {"vocab_size", "23"},
                          {"max_seq_len", 40}, {"rope_theta", "100"}};
        pare::testing::write_text(folder / "llama_config.json", config.dump());
        CHECK(pare::testing::max_abs_error(logits_of(folder / "llama.safetensors"), expected) <
              rounding);
    }
    SECTION("shards with an index, found by their folder") {
        static constexpr auto is_early = [](const std::string& n) { return n < "model.layers.1"; };
        write_model(folder / "1.safetensors", model, "", is_early);
        write_model(folder / "2.safetensors", model, "",
                    [](const std::string& name) { return !is_early(name); });
        json map;
        for (const auto& [name, t] : model)
            map[name] = is_early(name) ? "1.safetensors" : "2.safetensors";
        pare::testing::write_text(folder / "model.safetensors.index.json",
                                  json{{"weight_map", map}}.dump());
        pare::testing::write_text(folder / "config.json", shape_of_model().dump());
        CHECK(logits_of(folder.path()) == expected);
    }
    SECTION("f16 and bf16 as their values in f32") {
        tensors rounded = model;
        for (auto& [name, t] : rounded)
            for (float& v : t.values) v = pare::to_float(pare::from_float<pare::f16>(v));
        write_model<pare::f16>(folder / "f16.safetensors", model, shape_of_model().dump());
        write_model(folder / "f32.safetensors", rounded, shape_of_model().dump());
        CHECK(pare::testing::max_abs_error(logits_of(folder / "f16.safetensors"),
                                           logits_of(folder / "f32.safetensors")) < rounding);
        CHECK(logits_of(folder / "hf.safetensors", "f16") != expected);
    }
}

TEST_CASE("a tied output head is the embedding") {
    const temporary_folder folder;
    tensors model = random_model();
    model["lm_head.weight"].values = model["model.embed_tokens.weight"].values;
    write_model(folder / "untied.safetensors", model, shape_of_model().dump());
    model.erase("lm_head.weight");
    write_model(folder / "tied.safetensors", model, shape_of_model().dump());
    CHECK(logits_of(folder / "tied.safetensors") == logits_of(folder / "untied.safetensors"));
    json config = shape_of_model();
    config["tie_word_embeddings"] = false;
    write_model(folder / "missing.safetensors", model, config.dump());
    CHECK_THAT(refusal(folder / "missing.safetensors"), Catch::Contains("lm_head.weight"));
}

TEST_CASE("an explicit head_dim may differ from dim / heads") {
    const temporary_folder folder;
    json config = shape_of_model();
    config["num_attention_heads"] = 2;
    config["num_key_value_heads"] = 1;
    config["head_dim"] = 12;
    write_model(folder / "a.safetensors", random_model(), config.dump());
    CHECK(refusal(folder / "a.safetensors").empty());
    config["head_dim"] = 6;
    write_model(folder / "a.safetensors", random_model(), config.dump());
    CHECK_THAT(refusal(folder / "a.safetensors"), Catch::Contains("q_proj.weight"));
}

TEST_CASE("rotary scaling: linear stretches all, llama3 the slow frequencies only") {
    json config = shape_of_model();
    const auto plain = llm::parse_config(config).frequencies;
    CHECK(plain[0] == 1.0);
    CHECK(plain[1] == Approx(std::pow(100.0, -2.0 / 6.0)));
    config["rope_scaling"] = {{"type", "linear"}, {"factor", 4.0}};
    CHECK(llm::parse_config(config).frequencies[1] == Approx(plain[1] / 4));

    // Turns within 40 positions: 6.4, 1.37, 0.30.
    config["rope_scaling"] = {{"rope_type", "llama3"},
                              {"factor", 8.0},
                              {"low_freq_factor", 1.0},
                              {"high_freq_factor", 2.0},
                              {"original_max_position_embeddings", 40}};
    const auto scaled = llm::parse_config(config).frequencies;
    const double turns = 40.0 * plain[1] / 6.283185307179586, smooth = turns - 1.0;
    CHECK(scaled[0] == plain[0]);
    CHECK(scaled[1] == Approx((1 - smooth) * plain[1] / 8 + smooth * plain[1]));
    CHECK(scaled[2] == Approx(plain[2] / 8));
}

TEST_CASE("a checkpoint that is not understood is refused by the name of what is wrong") {
    const temporary_folder folder;
    const std::string file = folder / "a.safetensors";
    tensors model = random_model();
    json config = shape_of_model();
    std::string named;
    SECTION("a tensor too many") {
        model["model.layers.1.self_attn.q_norm.weight"] = {{1}, {1.0f}};
        named = "q_norm";
    }
    SECTION("a tensor too few") {
        model.erase("model.layers.1.mlp.up_proj.weight");
        named = "layers.1.mlp.up_proj.weight";
    }
    SECTION("a tensor of another shape") {
        model["model.norm.weight"] = {{dim - 1}, std::vector<float>(dim - 1)};
        named = "model.norm.weight";
    }
    SECTION("no known embedding") {
        model.erase("model.embed_tokens.weight");
        named = "model.embed_tokens.weight";
    }
    SECTION("another architecture") {
        config["model_type"] = "mixtral";
        named = "mixtral";
    }
    SECTION("an unknown rotary scaling") {
        config["rope_scaling"] = {{"rope_type", "yarn"}, {"factor", 2}};
        named = "yarn";
    }
    SECTION("another activation") {
        config["hidden_act"] = "gelu";
        named = "gelu";
    }
    SECTION("a number that is none") {
        config["num_attention_heads"] = "many";
        named = "num_attention_heads";
    }
    SECTION("a number that is missing") {
        config.erase("intermediate_size");
        named = "intermediate_size";
    }
    SECTION("numbers that make no sense") {
        config["num_attention_heads"] = GENERATE(as<double>{}, 0, -1, 2.5, 1e300);
        named = "num_attention_heads";
    }
    write_model(file, model, config.dump());
    CHECK_THAT(refusal(file), Catch::Contains(named));
}

TEST_CASE("files that are no checkpoint are refused with a sentence") {
    const temporary_folder folder;
    CHECK_THAT(refusal(folder / "none.safetensors"), Catch::Contains("none.safetensors"));
    CHECK_THAT(refusal(folder.path()), Catch::Contains("no .safetensors"));
    pare::testing::write_text(folder / "a.safetensors", "junk");
    CHECK_THAT(refusal(folder.path()), Catch::Contains("a.safetensors"));
    for (const char* index :
         {"", "{}", "[]", R"({"weight_map":{"x":1}})", R"({"weight_map":{"x":"../a.safetensors"}})",
          R"({"weight_map":{"x":"absent.safetensors"}})"}) {
        pare::testing::write_text(folder / "b.index.json", index);
        CHECK_FALSE(refusal(folder / "b.index.json").empty());
    }
    write_model(folder / "b.safetensors", random_model(), "");
    CHECK_THAT(refusal(folder / "b.safetensors"), Catch::Contains("configuration"));
    write_model(folder / "b.safetensors", random_model(), "[1, 2");
    CHECK_FALSE(refusal(folder / "b.safetensors").empty());
    write_model(folder / "b.safetensors", random_model(), "[1, 2]");
    CHECK_FALSE(refusal(folder / "b.safetensors").empty());
}
