// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "checkpoint.hpp"

#include "common/error.hpp"
#include "common/tensors.hpp"

#include <nlohmann/json.hpp>
#include <algorithm>
#include <fstream>
#include <optional>
#include <set>
#include <utility>

namespace llm {

namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using tools::failure;
using tools::model_tensor;
using tools::value_of;

// Indexed by slot, then by n_slots + norm.
constexpr std::string_view layer_names[2][n_slots + 2] = {
    {"attention.wq", "attention.wk", "attention.wv", "attention.wo", "feed_forward.w1",
     "feed_forward.w3", "feed_forward.w2", "attention_norm", "ffn_norm"},
    {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
     "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj", "input_layernorm",
     "post_attention_layernorm"}};

enum top : std::size_t { top_embedding, top_norm, top_head };
constexpr std::string_view top_names[2][3] = {
    {"tok_embeddings.weight", "norm.weight", "output.weight"},
    {"model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"}};

json parse_json(const fs::path& path) {
    std::ifstream in(path);
    json parsed = in ? json::parse(in, nullptr, false) : json(json::value_t::discarded);
    if (parsed.is_discarded()) throw failure(path.string() + ": not readable as JSON");
    return parsed;
}

// A model's folder may hold other safetensors files; the usual names come first.
fs::path model_in_folder(const fs::path& folder) {
    const std::string own_name = fs::weakly_canonical(folder).filename().string();
    for (const std::string& name : {std::string("model.safetensors.index.json"),
                                    std::string("model.safetensors"), own_name + ".safetensors"})
        if (fs::is_regular_file(folder / name)) return folder / name;
    std::vector<fs::path> found;
    for (const auto& entry : fs::directory_iterator(folder))
        if (entry.path().extension() == ".safetensors") found.push_back(entry.path());
    if (found.size() != 1)
        throw failure(folder.string() + ": " + (found.empty() ? "no" : "more than one") +
                      " .safetensors file; name the model's file with --model");
    return found.front();
}

// Tables of rotary frequencies that some files carry; they are computed here.
bool is_derived(std::string_view name) {
    return name.ends_with("rotary_emb.inv_freq") || name == "rope.freqs";
}

}  // namespace

checkpoint::checkpoint(const fs::path& path) {
    try {
        open(path);
    } catch (const fs::filesystem_error& e) {
        throw failure(path.string() + ": " + e.code().message());
    }
    for (const auto& file : files_)
        for (const auto& [name, t] : file.tensors())
            if (!is_derived(name) && !tensors_.emplace(name, t).second)
                throw failure("tensor '" + name + "' is in two files");
    hugging_face_ = has(std::string(top_names[1][top_embedding]));
    if (!hugging_face_ && !has(std::string(top_names[0][top_embedding])))
        throw failure(path_.string() + ": neither '" + std::string(top_names[0][top_embedding]) +
                      "' nor '" + std::string(top_names[1][top_embedding]) +
                      "' is in it, so it is no Llama-architecture model");
    config_ = parse_config(find_config());
    check_tensors();
}

void checkpoint::open(const fs::path& path) {
    path_ = fs::is_directory(path) ? model_in_folder(path) : path;
    if (!fs::exists(path_))
        throw failure(path_.string() + ": no such file; name a model with --model");
    if (path_.extension() == ".json") open_shards(path_);
    else add_file(path_);
}

void checkpoint::open_shards(const fs::path& index) {
    const json parsed = parse_json(index);
    const auto map = parsed.find("weight_map");
    if (!parsed.is_object() || map == parsed.end() || !map->is_object())
        throw failure(index.string() + ": no 'weight_map' in it");
    std::set<std::string> shards;
    for (const auto& [tensor, file] : map->items()) {
        if (!file.is_string() || fs::path(file.get<std::string>()).has_parent_path())
            throw failure(index.string() + ": tensor '" + tensor + "' names no file beside it");
        shards.insert(file.get<std::string>());
    }
    for (const std::string& shard : shards) add_file(index.parent_path() / shard);
}

void checkpoint::add_file(const fs::path& file) { files_.emplace_back(file); }

// From the file's own metadata (a key `config`, or the numbers themselves), else a file beside.
json checkpoint::find_config() const {
    json own = json::object();
    for (const auto& file : files_)
        for (const auto& [key, value, where] : file.metadata())
            own[std::string(key)] = std::string(value);
    if (const auto config = own.find("config"); config != own.end()) {
        json parsed = json::parse(config->get<std::string>(), nullptr, false);
        if (parsed.is_discarded())
            throw failure(path_.string() + ": its metadata 'config' is not JSON");
        return parsed;
    }
    if (own.contains("n_heads") || own.contains("num_attention_heads")) return own;
    const fs::path folder = path_.parent_path();
    for (const std::string& name :
         {path_.stem().string() + "_config.json", std::string("config.json")})
        if (fs::is_regular_file(folder / name)) return parse_json(folder / name);
    throw failure(path_.string() +
                  ": no configuration, neither in its metadata nor as config.json "
                  "beside it");
}

void checkpoint::check_tensors() const {
    std::set<std::string, std::less<>> expected;
    const auto expect = [&](const std::string& name, std::initializer_list<std::size_t> shape) {
        tensor(name).check(shape);
        expected.insert(name);
    };
    expect(top_name(top_embedding), {config_.vocab_size, config_.dim});
    expect(top_name(top_norm), {config_.dim});
    if (!tied_output()) expect(top_name(top_head), {config_.vocab_size, config_.dim});
    expected.insert(top_name(top_head));
    for (std::size_t l = 0; l < config_.n_layers; ++l) {
        for (std::size_t s = 0; s < n_slots; ++s) {
            const auto [rows, cols] = linear_shape(l, static_cast<slot>(s));
            expect(layer_name(l, s) + ".weight", {rows, cols});
            if (has(layer_name(l, s) + ".bias")) expect(layer_name(l, s) + ".bias", {rows});
        }
        expect(layer_name(l, n_slots) + ".weight", {config_.dim});
        expect(layer_name(l, n_slots + 1) + ".weight", {config_.dim});
    }
    for (const auto& [name, info] : tensors_)
        if (!expected.contains(name))
            throw failure("tensor '" + name +
                          "' is not understood; this program runs plain "
                          "Llama-architecture models");
}

std::string checkpoint::name() const {
    const fs::path stem = path_.stem();
    const bool generic = stem == "model" || stem == "model.safetensors.index";
    return generic ? fs::weakly_canonical(path_).parent_path().filename().string() : stem.string();
}

bool checkpoint::tied_output() const {
    return config_.tied_output.value_or(!has(top_name(top_head)));
}

std::size_t checkpoint::n_weights() const {
    std::size_t n = 0;
    for (const auto& [name, info] : tensors_) n += info.size();
    return n;
}

std::size_t checkpoint::n_linear_weights() const {
    std::size_t n = 0;
    for (std::size_t l = 0; l < config_.n_layers; ++l)
        for (std::size_t s = 0; s < n_slots; ++s) {
            const auto [rows, cols] = linear_shape(l, static_cast<slot>(s));
            n += rows * cols;
        }
    return n;
}

std::size_t checkpoint::other_bytes() const {
    std::size_t bytes = 0;
    for (const auto& [name, t] : tensors_) bytes += t.bytes();
    for (std::size_t l = 0; l < config_.n_layers; ++l)
        for (std::size_t s = 0; s < n_slots; ++s) bytes -= linear(l, static_cast<slot>(s)).bytes();
    return bytes;
}

// What pare_compress takes away the configuration does not tell.
std::size_t checkpoint::hidden_dim(std::size_t layer) const {
    const auto shape = linear(layer, slot::gate).shape();
    return shape.empty() ? config_.hidden_dim : std::min(config_.hidden_dim, shape[0]);
}

std::array<std::size_t, 2> checkpoint::linear_shape(std::size_t layer, slot s) const {
    const std::size_t q = config_.n_heads * config_.head_dim;
    const std::size_t kv = config_.n_kv_heads * config_.head_dim;
    switch (s) {
        case slot::q:
            return {q, config_.dim};
        case slot::k:
        case slot::v:
            return {kv, config_.dim};
        case slot::o:
            return {config_.dim, q};
        case slot::gate:
        case slot::up:
            return {hidden_dim(layer), config_.dim};
        case slot::down:
            break;
    }
    return {config_.dim, hidden_dim(layer)};
}

std::string checkpoint::layer_name(std::size_t layer, std::size_t which) const {
    return (hugging_face_ ? "model.layers." : "layers.") + std::to_string(layer) + "." +
           std::string(layer_names[hugging_face_][which]);
}

std::string checkpoint::top_name(std::size_t which) const {
    return std::string(top_names[hugging_face_][which]);
}

const model_tensor& checkpoint::tensor(const std::string& name) const {
    const auto at = tensors_.find(name);
    if (at == tensors_.end()) throw failure(path_.string() + ": tensor '" + name + "' is missing");
    return at->second;
}

std::string checkpoint::linear_name(std::size_t layer, slot s) const {
    return layer_name(layer, static_cast<std::size_t>(s)) + ".weight";
}

const model_tensor& checkpoint::linear(std::size_t layer, slot s) const {
    return tensor(linear_name(layer, s));
}

const model_tensor& checkpoint::head() const {
    return tensor(top_name(tied_output() ? top_embedding : top_head));
}

bool checkpoint::has_compressed() const {
    return std::any_of(files_.begin(), files_.end(),
                       [](const auto& file) { return file.has_compressed(); });
}

std::vector<float> checkpoint::read(const std::string& name) const {
    return tools::read_floats(tensor(name).dense());
}

std::vector<float> checkpoint::bias(std::size_t layer, slot s) const {
    const std::string name = layer_name(layer, static_cast<std::size_t>(s)) + ".bias";
    return has(name) ? read(name) : std::vector<float>();
}

std::vector<float> checkpoint::norm_weight(std::size_t layer, norm n) const {
    return read(layer_name(layer, n_slots + static_cast<std::size_t>(n)) + ".weight");
}

std::vector<float> checkpoint::final_norm_weight() const { return read(top_name(top_norm)); }

void checkpoint::embedding(token id, std::span<float> row) const {
    pare::io::tensor_info info = tensor(top_name(top_embedding)).dense();
    const std::size_t row_bytes = info.bytes.size() / config_.vocab_size;
    info.bytes = info.bytes.subspan(id * row_bytes, row_bytes);
    info.extents = {1, config_.dim};
    value_of(pare::io::read_as_float(info, row), "the embedding");
}

}  // namespace llm
