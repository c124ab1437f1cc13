// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "checkpoint.hpp"

#include "common/error.hpp"
#include "common/tensors.hpp"

#include <algorithm>
#include <utility>

namespace vision {

namespace {

pare::io::tensor_info describe(const std::string& name, const dense_tensor& t) {
    pare::io::tensor_info info{};
    info.name = name;
    info.type = pare::io::dtype::f32;
    info.rank = static_cast<std::uint8_t>(t.shape.size());
    std::copy(t.shape.begin(), t.shape.end(), info.extents.begin());
    info.bytes = std::as_bytes(std::span(t.values));
    return info;
}

}  // namespace

// Weights are checked where they are packed; what is beside them no one else looks at.
checkpoint::checkpoint(const std::filesystem::path& path)
    : name_(path.stem().string()), file_(path), architecture_(recognise(*file_)) {
    for (const step& s : architecture_.steps)
        if (const auto* const c = std::get_if<convolution>(&s.what))
            for (const std::string& name : tensors_beside(*c))
                for (const float x : tools::read_floats(tensor(name).dense()))
                    if (!pare::is_finite(x))
                        throw tools::failure(name_ + ": " + name + ": not a finite number");
}

checkpoint::checkpoint(std::string name, vision::architecture a, dense_tensors tensors)
    : name_(std::move(name)), memory_(std::move(tensors)), architecture_(std::move(a)) {
    for (const auto& [tensor, t] : memory_)
        in_memory_.emplace(tensor, tools::model_tensor(describe(tensor, t)));
}

const tools::model_tensor& checkpoint::tensor(const std::string& name) const {
    return file_ ? *file_->find(name) : in_memory_.at(name);  // recognise() has found them all
}

void checkpoint::set(const std::string& tensor, std::span<const float> values) {
    std::copy(values.begin(), values.end(), memory_.at(tensor).values.begin());
}

std::vector<std::string> tensors_beside(const convolution& c) {
    std::vector<std::string> names;
    if (c.has_bias) names.push_back(c.name + ".bias");
    if (!c.norm.empty())
        for (const char* const part : {".weight", ".bias", ".running_mean", ".running_var"})
            names.push_back(c.norm + part);
    return names;
}

dense_tensors read_tensors(const checkpoint& source) {
    dense_tensors all;
    const auto read = [&](const std::string& name) {
        const tools::model_tensor& t = source.tensor(name);
        all[name] = {{t.shape().begin(), t.shape().end()}, tools::read_floats(t.dense())};
    };
    for (const step& s : source.architecture().steps)
        if (const auto* const c = std::get_if<convolution>(&s.what)) {
            read(c->name + ".weight");
            for (const std::string& name : tensors_beside(*c)) read(name);
        }
    return all;
}

}  // namespace vision
