// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_TESTS_EXAMPLES_MODEL_FILE_HPP
#define PARE_TESTS_EXAMPLES_MODEL_FILE_HPP

#include "support/catch.hpp"

#include <pare/core/dtype.hpp>
#include <pare/core/random.hpp>
#include <pare/io/safetensors_writer.hpp>

#include <cstddef>
#include <map>
#include <string>
#include <utility>
#include <vector>

// Models made up for a test.

namespace pare::testing {

struct tensor {
    std::vector<std::size_t> shape;
    std::vector<float> values;

    bool operator==(const tensor&) const = default;
};
using tensors = std::map<std::string, tensor>;

/// Values in [-1, 1).
inline tensor random_tensor(std::vector<std::size_t> shape, pare::random& random) {
    std::size_t n = 1;
    for (const std::size_t extent : shape) n *= extent;
    std::vector<float> values(n);
    for (float& v : values) v = random.symmetric();
    return {std::move(shape), std::move(values)};
}

/// A safetensors file of Ts. @param config  its metadata of that name, unless empty
template <class T = float>
void write_model(
    const std::string& path, const tensors& model, const std::string& config,
    bool (*wanted)(const std::string&) = [](const std::string&) { return true; }) {
    pare::io::safetensors_writer out(path);
    std::vector<std::vector<T>> memory;
    memory.reserve(model.size());
    for (const auto& [name, t] : model) {
        if (!wanted(name)) continue;
        memory.emplace_back();
        for (const float v : t.values) memory.back().push_back(pare::from_float<T>(v));
        out.add(name, pare::io::dtype_of<T>(), t.shape, std::as_bytes(std::span(memory.back())));
    }
    if (!config.empty()) out.add_metadata("config", config);
    REQUIRE(out.commit());
}

}  // namespace pare::testing

#endif  // PARE_TESTS_EXAMPLES_MODEL_FILE_HPP
