// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "model_file.hpp"

#include "error.hpp"
#include "tensors.hpp"

#include <pare/io/layer_description.hpp>

#include <nlohmann/json.hpp>
#include <algorithm>
#include <utility>
#include <vector>

namespace tools {

namespace {

using nlohmann::json;
using pare::io::safetensors_reader;

constexpr std::string_view description_prefix = "pare.";  // of the metadata of packed weights

// The layer that a tensor is of, if it is one of packed weights: NAME.values, ...
std::string_view layer_of(std::string_view tensor) { return tensor.substr(0, tensor.rfind('.')); }

bool is_part(const safetensors_reader& file, std::string_view tensor) {
    return file.metadata(std::string(description_prefix).append(layer_of(tensor))).has_value();
}

std::string origin_key(std::string_view name) { return "origin." + std::string(name); }

}  // namespace

void save_layer(pare::io::safetensors_writer& out, std::string_view name, const linear& layer,
                std::span<const std::size_t> shape, const std::string& recipe) {
    const std::string about(name);
    layer.save(out, about);
    const json origin{{"shape", std::vector(shape.begin(), shape.end())},
                      {"recipe", recipe},
                      {"sparsity", layer.report().sparsity},
                      {"retained_saliency", layer.report().retained}};
    value_of(out.add_metadata(origin_key(name), origin.dump()), about);
}

model_tensor::model_tensor(std::shared_ptr<const safetensors_reader> file, std::string_view name)
    : file_(std::move(file)) {
    const std::string about = "layer '" + std::string(name) + "'";
    const auto is = value_of(describe_layer(*file_, name), about);
    const auto text = file_->metadata(origin_key(name));
    const json origin = text ? json::parse(*text, nullptr, false) : json();
    try {
        const auto shape = origin.at("shape").get<std::vector<std::size_t>>();
        info_.name = name;
        info_.type = pare::io::dtype::f32;
        info_.rank = static_cast<std::uint8_t>(std::min(shape.size(), info_.max_rank));
        std::copy_n(shape.begin(), info_.rank, info_.extents.begin());
        report_ = {.sparsity = origin.at("sparsity").get<double>(),
                   .retained = origin.at("retained_saliency").get<double>()};
    } catch (const json::exception&) {
        throw failure(about + ": no or no sound metadata '" + origin_key(name) +
                      "', which pare_compress writes");
    }
    if (info_.rank == 0 || info_.extents[0] != is.rows || size() != is.rows * is.cols)
        throw failure(about + ": its shape is not that of its packed weights");
    for (const auto& part : file_->tensors())
        if (layer_of(part.name) == name) bytes_ += part.bytes.size();
}

const pare::io::tensor_info& model_tensor::dense() const {
    if (is_compressed())
        throw failure("tensor '" + std::string(info_.name) +
                      "' is compressed, and this program reads it as a dense one");
    return info_;
}

void model_tensor::check(std::span<const std::size_t> shape) const { check_tensor(info_, shape); }

std::unique_ptr<linear> model_tensor::load(const recipe& r, const pare::prune::calibration& inputs,
                                           pare::thread_pool& run) const {
    if (!is_compressed()) return load_linear(info_, r, inputs, run);
    if (!is_dense_as_stored(r))
        throw failure("recipe '" + r.text + "': layer '" + std::string(info_.name) +
                      "' is compressed already");
    return open_linear(file_, std::string(info_.name), report_);
}

model_file::model_file(const std::filesystem::path& path)
    : file_(std::make_shared<const safetensors_reader>(
          value_of(safetensors_reader::open(path.c_str()), path.string()))) {
    for (const auto& entry : file_->metadata())
        if (entry.name.starts_with(description_prefix)) {
            const std::string_view name = entry.name.substr(description_prefix.size());
            tensors_.emplace(name, model_tensor(file_, name));
        }
    for (const auto& tensor : file_->tensors())
        if (!is_part(*file_, tensor.name) && !tensors_.emplace(tensor.name, tensor).second)
            throw failure(path.string() + ": tensor '" + std::string(tensor.name) +
                          "' is there both dense and compressed");
}

const model_tensor* model_file::find(std::string_view name) const {
    const auto at = tensors_.find(name);
    return at == tensors_.end() ? nullptr : &at->second;
}

recipe as_stored(bool compressed) {
    recipe r;
    if (compressed) r.text = "as compressed";
    return r;
}

std::vector<recipe> recipes_for(const std::string& model, bool compressed,
                                const std::vector<recipe>& recipes, bool by_default) {
    if (!compressed) return recipes;
    if (!by_default)
        throw usage_error("--recipe: " + model +
                          " is compressed already; recipes need a dense model");
    return {as_stored(compressed)};
}

bool model_file::has_compressed() const {
    return std::any_of(tensors_.begin(), tensors_.end(),
                       [](const auto& t) { return t.second.is_compressed(); });
}

}  // namespace tools
