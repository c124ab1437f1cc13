// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "network_builder.hpp"

#include "checkpoint.hpp"
#include "common/error.hpp"
#include "common/grammar.hpp"
#include "common/tensors.hpp"

#include <utility>

namespace vision {

network_builder::network_builder(const tools::model_file& file, std::string family,
                                 image_format input, float norm_eps)
    : file_(&file), family_(std::move(family)) {
    slots_[0] = input.each;
    made_.input = std::move(input);
    made_.norm_eps = norm_eps;
}

const tools::model_tensor& network_builder::take(const std::string& name) {
    const tools::model_tensor* const found = file_->find(name);
    if (found == nullptr) throw tools::failure("tensor '" + name + "' is missing of a " + family_);
    taken_.insert(name);
    return *found;
}

void network_builder::expect(const std::string& name, std::span<const std::size_t> shape) {
    take(name).check(shape);
}

void network_builder::expect_beside(const convolution& c, std::size_t channels) {
    const std::size_t shape[] = {channels};
    for (const std::string& name : tensors_beside(c)) expect(name, shape);
}

void network_builder::push(decltype(step::what) what, std::size_t from, std::size_t to,
                           const extents& out) {
    made_.steps.push_back({std::move(what), from, to, slots_[from], out});
    slots_[to] = out;
}

pare::extent_2d network_builder::kernel_of(const std::string& weight) {
    const auto shape = take(weight).shape();
    if (shape.size() != 4)
        throw tools::failure("tensor '" + weight + "' is no convolution's of a " + family_);
    return {shape[2], shape[3]};
}

void network_builder::convolve(const convolution& c, std::size_t from, std::size_t to,
                               std::optional<std::size_t> channels) {
    const extents& in = slots_[from];
    const std::string weight = c.name + ".weight";
    const auto [height, width] = c.over.kernel;
    if (c.depthwise) channels = in.channels;
    if (!channels) channels = take(weight).shape()[0];
    const std::size_t shape[] = {*channels, c.depthwise ? 1 : in.channels, height, width};
    expect(weight, shape);
    expect_beside(c, *channels);
    const pare::extent_2d out = c.over.outputs(in.map());
    if (out.height == 0 || out.width == 0)
        throw tools::failure("tensor '" + weight + "' covers more than the maps that it reads");
    push(c, from, to, {*channels, out.height, out.width});
}

void network_builder::convolve_same(convolution c, std::size_t stride, std::size_t from,
                                    std::size_t to) {
    c.over.kernel = kernel_of(c.name + ".weight");
    c.over.stride = {stride, stride};
    c.over.around = pare::padding::same(slots_[from].map(), c.over.kernel, c.over.stride);
    convolve(c, from, to);
}

void network_builder::connect_fully(const std::string& name, bool relu, std::size_t from,
                                    std::size_t to) {
    const extents& in = slots_[from];
    const convolution c{.name = name, .norm = "", .over = {.kernel = in.map()}, .relu = relu};
    const std::size_t channels = take(name + ".weight").shape()[0];
    const std::size_t shape[] = {channels, in.size()};
    expect(name + ".weight", shape);
    expect_beside(c, channels);
    push(c, from, to, {channels});
}

// What model::save says of a shortcut.
std::optional<std::size_t> network_builder::front_of(std::size_t step) const {
    const std::string key = front_key(step);
    for (const auto& entry : file_->metadata())
        if (entry.name == key) {
            std::size_t front = 0;
            if (!tools::read_number(entry.value, front))
                throw tools::failure("metadata '" + key + "' is no number");
            return front;
        }
    return {};
}

void network_builder::add(std::size_t from, std::size_t to) {
    const extents &x = slots_[from], &y = slots_[to];
    const std::optional<std::size_t> front = front_of(made_.steps.size());
    if (x.channels > y.channels || front.value_or(0) > y.channels - x.channels ||
        x.height % y.height != 0 || x.width % y.width != 0 ||
        x.height / y.height != x.width / y.width)
        throw tools::failure("a " + family_ + " does not add maps of " +
                             std::to_string(x.channels) + " channels to " +
                             std::to_string(y.channels));
    push(residual{front.value_or((y.channels - x.channels) / 2)}, from, to, y);
}

void network_builder::pool_largest(const pare::window& over, std::size_t from, std::size_t to) {
    const extents& in = slots_[from];
    const pare::extent_2d out = over.outputs(in.map());
    push(max_pool{over}, from, to, {in.channels, out.height, out.width});
}

void network_builder::pool_average(std::size_t from, std::size_t to) {
    push(average_pool{}, from, to, {slots_[from].channels});
}

// Counters of training steps do not matter.
architecture network_builder::finish(std::string name) {
    for (const auto& [tensor, info] : file_->tensors())
        if (!taken_.contains(tensor) && !tensor.ends_with(".num_batches_tracked"))
            throw tools::failure("tensor '" + tensor + "' is no part of a " + family_);
    made_.name = std::move(name);
    return std::move(made_);
}

}  // namespace vision
