// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "architecture.hpp"

#include "common/error.hpp"
#include "common/tensors.hpp"

#include <initializer_list>
#include <set>
#include <string_view>
#include <utility>

namespace vision {

namespace {

// Walks the network as it computes, and takes each tensor that it expects.
class resnet_reader {
  public:
    explicit resnet_reader(const pare::io::safetensors_reader& file) : file_(&file) {}

    architecture read();

  private:
    void add_convolution(const std::string& name, const std::string& norm, std::size_t from,
                         std::size_t to, std::size_t channels, std::size_t stride, bool relu);
    void add_block(const std::string& name, std::size_t channels, std::size_t stride);
    void add_head();
    pare::io::tensor_info take(const std::string& name);
    void expect(const std::string& name, std::initializer_list<std::size_t> shape);
    void refuse_others() const;

    const pare::io::safetensors_reader* file_;
    std::set<std::string, std::less<>> taken_;
    architecture made_;
    extents at_;         // of what the last step wrote
    std::size_t x_ = 1;  // its slot, 1 or 3; a block writes the other one, and 2 in between
};

architecture resnet_reader::read() {
    made_.input = at_ = {3, 32, 32};
    made_.mean = {0.485f, 0.456f, 0.406f};
    made_.deviation = {0.229f, 0.224f, 0.225f};
    made_.norm_eps = 1e-5f;
    const std::size_t width = take("conv1.weight").extents[0];
    add_convolution("conv1", "bn1", 0, x_, width, 1, true);
    std::size_t n_blocks = 0;
    for (std::size_t stage = 1; stage <= 3; ++stage) {
        const std::string layer = "layer" + std::to_string(stage) + ".";
        for (std::size_t i = 0;; ++i, ++n_blocks) {
            const std::string block = layer + std::to_string(i) + ".";
            if (i > 0 && !file_->find(block + "conv1.weight")) break;
            add_block(block, width << (stage - 1), stage > 1 && i == 0 ? 2 : 1);
        }
    }
    made_.name = "ResNet-" + std::to_string(2 * n_blocks + 2);
    add_head();
    refuse_others();
    return std::move(made_);
}

void resnet_reader::add_convolution(const std::string& name, const std::string& norm,
                                    std::size_t from, std::size_t to, std::size_t channels,
                                    std::size_t stride, bool relu) {
    expect(name + ".weight", {channels, at_.channels, 3, 3});
    for (const char* const part : {".weight", ".bias", ".running_mean", ".running_var"})
        expect(norm + part, {channels});
    const extents out{channels, (at_.height - 1) / stride + 1, (at_.width - 1) / stride + 1};
    const window kernel{.height = 3, .width = 3, .stride = stride, .top = 1, .left = 1};
    made_.steps.push_back({convolution{name, norm, kernel, relu}, from, to, at_, out});
    at_ = out;
}

void resnet_reader::add_block(const std::string& name, std::size_t channels, std::size_t stride) {
    const extents in = at_;
    const std::size_t y = 4 - x_;
    add_convolution(name + "conv1", name + "bn1", x_, 2, channels, stride, true);
    add_convolution(name + "conv2", name + "bn2", 2, y, channels, 1, false);
    made_.steps.push_back({residual{}, x_, y, in, at_});
    x_ = y;
}

void resnet_reader::add_head() {
    const extents pooled{at_.channels}, classes{take("linear.weight").extents[0]};
    expect("linear.weight", {classes.channels, pooled.channels});
    expect("linear.bias", {classes.channels});
    made_.steps.push_back({average_pool{}, x_, 2, at_, pooled});
    made_.steps.push_back(
        {convolution{.name = "linear", .norm = "", .relu = false}, 2, x_, pooled, classes});
}

pare::io::tensor_info resnet_reader::take(const std::string& name) {
    const auto found = file_->find(name);
    if (!found)
        throw tools::failure("tensor '" + name +
                             "' is missing; this program runs ResNets for CIFAR");
    taken_.insert(name);
    return *found;
}

void resnet_reader::expect(const std::string& name, std::initializer_list<std::size_t> shape) {
    tools::check_tensor(take(name), shape);
}

// Counters of training steps do not matter.
void resnet_reader::refuse_others() const {
    for (const auto& tensor : file_->tensors())
        if (!taken_.contains(tensor.name) && !tensor.name.ends_with(".num_batches_tracked"))
            throw tools::failure("tensor '" + std::string(tensor.name) +
                                 "' is not understood; this program runs ResNets for CIFAR");
}

}  // namespace

architecture recognise_resnet(const pare::io::safetensors_reader& file) {
    return resnet_reader(file).read();
}

}  // namespace vision
