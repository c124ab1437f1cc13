// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "config.hpp"

#include "common/error.hpp"

#include <nlohmann/json.hpp>
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <initializer_list>
#include <numbers>

namespace llm {

namespace {

using nlohmann::json;
using tools::failure;
using names = std::initializer_list<const char*>;

const json* find(const json& object, names keys) {
    for (const char* const key : keys)
        if (const auto at = object.find(key); at != object.end() && !at->is_null()) return &*at;
    return nullptr;
}

std::optional<double> find_number(const json& object, names keys) {
    const json* const value = find(object, keys);
    if (value == nullptr) return std::nullopt;
    if (value->is_number()) return value->get<double>();
    if (value->is_string()) {
        const std::string text = value->get<std::string>();
        char* end = nullptr;
        const double number = std::strtod(text.c_str(), &end);
        if (!text.empty() && *end == '\0') return number;
    }
    throw failure(std::string("the model's configuration: '") + *keys.begin() + "' is no number");
}

std::size_t count(const json& object, names keys, std::optional<std::size_t> otherwise = {}) {
    const auto number = find_number(object, keys);
    if (!number && otherwise) return *otherwise;
    if (!number)
        throw failure(std::string("the model's configuration lacks '") + *keys.begin() + "'");
    // Bounded so that no product of two of them overflows.
    if (!(*number >= 1.0 && *number <= 0x1p30) || *number != std::floor(*number))
        throw failure(std::string("the model's configuration: '") + *keys.begin() +
                      "' is no sensible count");
    return static_cast<std::size_t>(*number);
}

double positive(const json& object, names keys, std::optional<double> otherwise = {}) {
    const auto number = find_number(object, keys);
    if (!number && otherwise) return *otherwise;
    if (!number || !(*number > 0.0) || !std::isfinite(*number))
        throw failure(std::string("the model's configuration: '") + *keys.begin() +
                      "' must be a positive number");
    return *number;
}

void require(bool understood, const std::string& what) {
    if (!understood)
        throw failure("the model's configuration: " + what +
                      " is not understood; this program runs plain Llama-architecture models");
}

std::string text_of(const json& object, names keys, const std::string& otherwise) {
    const json* const value = find(object, keys);
    if (value == nullptr) return otherwise;
    return value->is_string() ? value->get<std::string>() : value->dump();
}

bool is_false(const json& object, const char* key) {
    const json* const value = find(object, {key});
    return value == nullptr || *value == json(false);
}

void refuse_what_is_not_llama(const json& object) {
    const std::string type = text_of(object, {"model_type", "arch"}, "llama");
    require(type == "llama" || type == "llama2" || type == "mistral" || type == "qwen2",
            "model_type '" + type + "'");
    const std::string activation = text_of(object, {"hidden_act", "hidden_activation"}, "silu");
    require(activation == "silu" || activation == "swish", "hidden_act '" + activation + "'");
    require(find(object, {"quantization_config"}) == nullptr, "quantization_config");
    require(is_false(object, "use_scaled_rope"), "use_scaled_rope");
    require(find_number(object, {"partial_rotary_factor"}).value_or(1.0) == 1.0,
            "partial_rotary_factor");
}

// Llama 3.1: wavelengths that the original context covers often are kept, those it never completed
// are stretched by `factor`, between them the two are blended.
double llama3_frequency(double frequency, const json& scaling) {
    const double factor = positive(scaling, {"factor"});
    const double low = positive(scaling, {"low_freq_factor"});
    const double high = positive(scaling, {"high_freq_factor"});
    const double turns = positive(scaling, {"original_max_position_embeddings"}) * frequency /
                         (2.0 * std::numbers::pi);
    require(high > low, "rope_scaling with high_freq_factor <= low_freq_factor");
    if (turns > high) return frequency;
    if (turns < low) return frequency / factor;
    const double smooth = (turns - low) / (high - low);
    return (1.0 - smooth) * frequency / factor + smooth * frequency;
}

std::vector<double> rotary_frequencies(const json& object, std::size_t head_dim) {
    const json* const found = find(object, {"rope_scaling", "rope_parameters"});
    const json scaling = found == nullptr ? json::object() : *found;
    require(scaling.is_object(), "rope_scaling");
    const std::string type = text_of(scaling, {"rope_type", "type"}, "default");
    require(type == "default" || type == "linear" || type == "llama3",
            "rope_scaling of type '" + type + "'");
    const double theta = positive(scaling, {"rope_theta"}, positive(object, {"rope_theta"}, 1e4));

    std::vector<double> frequencies(head_dim / 2);
    for (std::size_t i = 0; i < frequencies.size(); ++i) {
        const double exponent = static_cast<double>(2 * i) / static_cast<double>(head_dim);
        const double frequency = std::pow(theta, -exponent);
        frequencies[i] = type == "linear"   ? frequency / positive(scaling, {"factor"})
                         : type == "llama3" ? llama3_frequency(frequency, scaling)
                                            : frequency;
    }
    return frequencies;
}

}  // namespace

config parse_config(const json& object) {
    require(object.is_object(), "anything but a JSON object");
    config c;
    c.vocab_size = count(object, {"vocab_size"});
    c.dim = count(object, {"hidden_size", "dim"});
    c.hidden_dim = count(object, {"intermediate_size", "hidden_dim"});
    c.n_layers = count(object, {"num_hidden_layers", "n_layers"});
    c.n_heads = count(object, {"num_attention_heads", "n_heads"});
    c.n_kv_heads = count(object, {"num_key_value_heads", "n_kv_heads"}, c.n_heads);
    c.head_dim = count(object, {"head_dim"}, c.dim / c.n_heads);
    c.context = count(object, {"max_position_embeddings", "max_seq_len"}, 2048);
    c.norm_eps = static_cast<float>(positive(object, {"rms_norm_eps", "norm_eps"}, 1e-5));
    refuse_what_is_not_llama(object);
    // Within its window, sliding attention is full attention.
    if (find(object, {"use_sliding_window"}) == nullptr || !is_false(object, "use_sliding_window"))
        c.context = std::min(c.context, count(object, {"sliding_window"}, c.context));
    require(c.n_heads % c.n_kv_heads == 0, "a head count that the key/value heads do not divide");
    require(c.head_dim != 0 && c.head_dim % 2 == 0 && c.head_dim <= 256,
            "head_dim " + std::to_string(c.head_dim) + " (it must be even and at most 256)");
    c.frequencies = rotary_frequencies(object, c.head_dim);
    if (const json* tied = find(object, {"tie_word_embeddings"}); tied && tied->is_boolean())
        c.tied_output = tied->get<bool>();
    c.tokenizer = text_of(object, {"tokenizer"}, c.vocab_size == 256 ? "bytes" : "");
    c.first_token = c.tokenizer == "bytes" ? '\n' : count(object, {"bos_token_id"}, 1);
    require(c.first_token < c.vocab_size, "a bos_token_id outside the vocabulary");
    return c;
}

}  // namespace llm
