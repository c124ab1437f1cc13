// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_TESTS_EXAMPLES_COMPRESS_RUNS_HPP
#define PARE_TESTS_EXAMPLES_COMPRESS_RUNS_HPP

#include "common/error.hpp"
#include "compress/run.hpp"
#include "io/files.hpp"
#include "llm/dataset.hpp"
#include "llm/model.hpp"
#include "model_file.hpp"
#include "support/catch.hpp"

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

// Runs of pare_compress, and of what it wrote.

namespace pare::testing {

inline const std::filesystem::path bard =
    std::filesystem::path(PARE_SOURCE_DIR) / "examples" / "llm" / "bard";

inline std::vector<float> logits_of(const llm::model& m) {
    const auto ids = llm::read_ids(bard / "bard_eval.safetensors", 256, 64)[0];
    llm::session s(m, ids.size());
    std::vector<float> logits(ids.size() * m.shape().vocab_size);
    m.forward(ids, s, {logits.data(), ids.size(), m.shape().vocab_size});
    return logits;
}

inline std::optional<compressor::options> parse(std::vector<std::string> line) {
    line.insert(line.begin(), "pare_compress");
    std::vector<char*> argv;
    for (std::string& word : line) argv.push_back(word.data());
    return compressor::parse_options(static_cast<int>(argv.size()), argv.data());
}

/// Why a command line is refused, or its run fails; empty: it does not.
inline std::string refusal(const std::vector<std::string>& line) {
    try {
        compressor::ranks alone;
        compressor::run(*parse(line), alone);
    } catch (const tools::failure& e) {
        return e.what();
    }
    return "";
}

inline void compress(const std::vector<std::string>& line) { REQUIRE(refusal(line) == ""); }

// A matrix that is compressed, one too narrow, a bias.
inline tensors small_layers() {
    pare::random random(3);
    tensors t;
    t["a.weight"] = random_tensor({8, 32}, random);
    t["narrow.weight"] = random_tensor({8, 15}, random);
    t["a.bias"] = random_tensor({8}, random);
    return t;
}

struct small_file {
    explicit small_file(const tensors& t = small_layers()) { write_model(in, t, R"({"a":1})"); }
    temporary_folder folder;
    std::string in = folder / "in.safetensors", out = folder / "out.safetensors";
};

}  // namespace pare::testing

#endif  // PARE_TESTS_EXAMPLES_COMPRESS_RUNS_HPP
