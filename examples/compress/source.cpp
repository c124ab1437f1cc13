// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "source.hpp"

#include "common/error.hpp"

#include <pare/io/utf8.hpp>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <utility>

namespace compressor {

namespace {

namespace fs = std::filesystem;
using tools::value_of;

std::string in_words(const pare::io::gguf_value& value) {
    if (const auto text = value.text()) return std::string(*text);
    if (const auto truth = value.boolean()) return *truth ? "true" : "false";
    if (const auto whole = value.unsigned_integer()) return std::to_string(*whole);
    char number[32];
    const bool single = value.type == pare::io::gguf_value_type::f32;
    std::snprintf(number, sizeof(number), "%.*g", single ? 9 : 17, *value.number());
    return number;
}

bool begins_as_gguf(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    std::string begin(4, '\0');
    return in.read(begin.data(), 4) && begin == "GGUF";
}

// What Hugging Face's models have beside them, and pare_llm looks for.
std::optional<std::string> config_beside(const fs::path& model) {
    for (const fs::path& name : {fs::path(model.stem() += "_config.json"), fs::path("config.json")})
        if (std::ifstream in(model.parent_path() / name); in)
            return std::string(std::istreambuf_iterator<char>(in), {});
    return std::nullopt;
}

}  // namespace

bool tensor::holds_floats() const {
    using pare::io::dtype, pare::io::gguf_type;
    if (const auto* const t = std::get_if<pare::io::tensor_info>(&info_))
        return t->type == dtype::f32 || t->type == dtype::f16 || t->type == dtype::bf16;
    const gguf_type type = std::get<pare::io::gguf_tensor>(info_).type;
    return type == gguf_type::f32 || type == gguf_type::f16 || type == gguf_type::bf16 ||
           type == gguf_type::q8_0 || type == gguf_type::q4_0;
}

pare::io::dtype tensor::type() const {
    if (const auto* const t = std::get_if<pare::io::tensor_info>(&info_)) return t->type;
    const auto same = as_tensor_info(std::get<pare::io::gguf_tensor>(info_));
    return same ? same->type : pare::io::dtype::f32;
}

pare::io::tensor_info tensor::read(std::vector<float>& memory) const {
    if (!loss_) return read_whole(memory);
    std::vector<float> whole;
    return loss_->apply(read_whole(whole), memory);
}

void tensor::lose(std::shared_ptr<const channel_loss> channels) {
    loss_ = std::move(channels);
    shape_left_ = loss_->shape_left(whole_shape());
}

pare::io::tensor_info tensor::read_whole(std::vector<float>& memory) const {
    if (const auto* const t = std::get_if<pare::io::tensor_info>(&info_)) return *t;
    const auto& t = std::get<pare::io::gguf_tensor>(info_);
    if (const auto same = as_tensor_info(t)) return *same;
    memory.resize(t.size());
    value_of(read_as_float(t, memory),
             "tensor '" + std::string(t.name) + "', of type " + std::string(describe(t.type).name));
    pare::io::tensor_info floats{.name = t.name,
                                 .type = pare::io::dtype::f32,
                                 .rank = t.rank,
                                 .bytes = std::as_bytes(std::span(memory)),
                                 .where = t.where};
    std::copy(t.shape().begin(), t.shape().end(), floats.extents.begin());
    return floats;
}

source::source(const std::string& path) {
    if (begins_as_gguf(path)) read_gguf(path);
    else read_safetensors(path);
    if (metadata_.contains("config")) return;
    if (auto config = config_beside(path)) metadata_["config"] = *std::move(config);
}

void source::read_gguf(const std::string& path) {
    gguf_ = value_of(pare::io::gguf_reader::open(path.c_str()), path);
    for (const auto& t : gguf_->tensors()) tensors_.emplace_back(t);
    for (const auto& [key, value, where] : gguf_->metadata())
        if (value.is_array) ++n_arrays_;
        else metadata_.emplace(key, in_words(value));
    std::erase_if(metadata_, [](const auto& pair) { return !pare::io::is_utf8(pair.second); });
}

void source::read_safetensors(const std::string& path) {
    safetensors_ = value_of(pare::io::safetensors_reader::open(path.c_str()), path);
    for (const auto& t : safetensors_->tensors()) tensors_.emplace_back(t);
    for (const auto& [key, value, where] : safetensors_->metadata()) {
        if (key.starts_with("pare."))
            throw tools::failure(path + ": layer '" + std::string(key.substr(5)) +
                                 "' is compressed already");
        metadata_.emplace(key, value);
    }
}

}  // namespace compressor
