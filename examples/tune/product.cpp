// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "product.hpp"

#include "common/error.hpp"

#include <pare/core/random.hpp>
#include <pare/io/mapped_file.hpp>
#include <pare/kernel/convolution.hpp>

#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <string>

namespace tuner {

namespace {

using tools::value_of;

constexpr const char* name = "layer";
constexpr std::size_t page = 4096;

/// A file that is gone with its owner.
struct temporary_file {
    std::string path = (std::filesystem::temp_directory_path() /
                        ("pare_tune." + std::to_string(::getpid()) + ".safetensors"))
                           .string();

    ~temporary_file() {
        std::error_code ignored;
        std::filesystem::remove(path, ignored);
    }
};

// The divisor that makes a map of so many pixels as square as it gets.
pare::extent_2d map_of(std::size_t pixels) {
    std::size_t height = 1;
    for (std::size_t h = 1; h * h <= pixels; ++h)
        if (pixels % h == 0) height = h;
    return {height, pixels / height};
}

}  // namespace

copies::copies(const tools::linear& layer, std::size_t n) {
    const temporary_file file;
    pare::io::safetensors_writer out(file.path);
    layer.save(out, name);
    value_of(out.commit(), file.path);
    const auto saved = value_of(pare::io::mapped_file::open(file.path.c_str()), file.path);
    const std::size_t stride = (saved.bytes().size() + page - 1) / page * page;
    memory_ = std::make_unique<std::byte[]>(n * stride + page);
    const std::size_t begin = page - reinterpret_cast<std::uintptr_t>(memory_.get()) % page;
    for (std::size_t i = 0; i < n; ++i) {
        std::byte* const at = memory_.get() + begin + i * stride;
        std::memcpy(at, saved.bytes().data(), saved.bytes().size());
        auto reader =
            value_of(pare::io::safetensors_reader::parse({at, saved.bytes().size()}), file.path);
        layers_.push_back(tools::open_linear(
            std::make_shared<const pare::io::safetensors_reader>(std::move(reader)), name,
            layer.report()));
    }
}

activations::activations(std::span<const std::size_t> shape, std::size_t tokens,
                         tools::activation_kind kind)
    : outputs_(shape[0]), inputs_(shape[1]), tokens_(tokens), kind_(kind),
      is_convolution_(shape.size() == 4), x_(inputs_ * tokens), y_(outputs_ * tokens) {
    pare::random draw(1);
    for (float& x : x_) x = draw.symmetric();
    if (!is_convolution_) return;
    map_ = map_of(tokens);
    over_.kernel = {shape[2], shape[3]};
    over_.around = pare::padding::same(map_, over_.kernel, over_.stride);
    workspace_.resize(pare::kernel::workspace_floats(over_, {1, inputs_, map_.height, map_.width}));
}

void activations::run(const tools::linear& layer, pare::thread_pool& threads) {
    if (!is_convolution_)
        return layer.apply({x_.data(), tokens_, inputs_}, {y_.data(), tokens_, outputs_}, {},
                           threads, kind_);
    layer.convolve(over_, pare::maps<const float>(x_.data(), {1, inputs_, map_.height, map_.width}),
                   pare::maps<float>(y_.data(), {1, outputs_, map_.height, map_.width}), workspace_,
                   threads, {}, kind_);
}

}  // namespace tuner
