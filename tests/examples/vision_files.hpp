// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_TESTS_EXAMPLES_VISION_FILES_HPP
#define PARE_TESTS_EXAMPLES_VISION_FILES_HPP

#include "vision/model.hpp"

#include "common/error.hpp"
#include "io/files.hpp"
#include "model_file.hpp"
#include "support/metrics.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <set>
#include <string>
#include <vector>

// Networks and images made up for a test, in files, and what is loaded of them.

namespace pare::testing {

inline constexpr std::size_t all_images = std::numeric_limits<std::size_t>::max();

/// A checkpoint and the models made of it.
struct loaded {
    explicit loaded(const std::filesystem::path& path) : source(path) {}
    vision::model make(const std::string& recipe, const vision::layer_statistics& seen = {},
                       const std::set<std::string>& keep_dense = {"conv1", "linear"}) {
        return {source, tools::parse_recipe(recipe), keep_dense, seen, run};
    }
    vision::images read(const std::filesystem::path& file, std::size_t most = all_images) const {
        return vision::read_images(file, source.architecture(), most);
    }
    vision::checkpoint source;
    pare::thread_pool run{2};
};

/// A network of random tensors, put together layer by layer; variances are positive.
class made_up_network {
  public:
    explicit made_up_network(std::uint64_t seed) : random_(seed) {}

    void add(const std::string& name, std::vector<std::size_t> shape) {
        tensors_[name] = random_tensor(std::move(shape), random_);
    }
    void add_weight(const std::string& name, const std::vector<std::size_t>& shape, bool bias) {
        add(name + ".weight", shape);
        if (bias) add(name + ".bias", {shape[0]});
    }
    void add_norm(const std::string& name, std::size_t channels) {
        for (const char* const part : {".weight", ".bias", ".running_mean", ".running_var"})
            add(name + part, {channels});
        for (float& v : tensors_[name + ".running_var"].values) v = 1.0f + v * v;
    }
    tensors& get() { return tensors_; }

  private:
    pare::random random_;
    tensors tensors_;
};

/// Records of `image_bytes` random bytes behind one of `n_classes` labels.
inline std::string random_records(std::size_t n, std::size_t image_bytes, std::size_t n_classes) {
    pare::random random(9);
    std::string bytes;
    for (std::size_t i = 0; i < n; ++i) {
        bytes += static_cast<char>(random.below(n_classes));
        for (std::size_t p = 0; p < image_bytes; ++p) bytes += static_cast<char>(random.below(256));
    }
    return bytes;
}

/// Images of random bytes and classes.
inline vision::images random_images(const vision::architecture& a, std::size_t n) {
    pare::random random(4);
    vision::images made{.each = a.input.each, .pixels = {}, .labels = {}};
    for (std::size_t i = 0; i < n * a.input.each.size(); ++i)
        made.pixels.push_back(static_cast<std::uint8_t>(random.below(256)));
    for (std::size_t i = 0; i < n; ++i)
        made.labels.push_back(static_cast<std::uint8_t>(random.below(a.n_classes())));
    return made;
}

/// A model and images in files.
struct model_and_data {
    model_and_data(const tensors& t, std::string_view images) {
        write_model(model, t, "");
        write_text(data, images);
    }
    temporary_folder folder;
    std::string model = folder / "small.safetensors", data = folder / "small.bin";
};

/// Why these files are refused; empty: they are not.
inline std::string refusal(const std::string& model, const std::string& data) {
    try {
        const vision::checkpoint source(model);
        vision::read_images(data, source.architecture(), all_images);
    } catch (const tools::failure& e) {
        return e.what();
    }
    return "";
}

inline double largest(const std::vector<float>& x) {
    double most = 0.0;
    for (const float v : x) most = std::max(most, std::abs(static_cast<double>(v)));
    return most;
}

/// Logits are sums of a few dozen products, several times in a row, each of them rounded.
inline constexpr double rounding = 1e-5;

}  // namespace pare::testing

#endif  // PARE_TESTS_EXAMPLES_VISION_FILES_HPP
