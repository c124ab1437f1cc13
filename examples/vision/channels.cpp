// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "channels.hpp"

#include "common/error.hpp"
#include "common/tensors.hpp"

#include <pare/prune/channel_cut.hpp>

#include <array>
#include <utility>

namespace vision {

namespace {

using operation = pare::prune::channel_operation;

operation operation_of(const convolution& c, const step& s, std::size_t from) {
    const std::size_t taps = c.over.kernel.height * c.over.kernel.width;
    return c.depthwise ? operation::depthwise(from, s.out.channels, taps, s.out.pixels())
                       : operation::layer(from, s.out.channels, taps, s.out.pixels());
}

/// Tensors of a convolution without the channels that leave.
class tensor_cutter {
  public:
    tensor_cutter(const checkpoint& whole, const pare::prune::channel_cut& cut)
        : whole_(whole), cut_(cut) {}

    void take(const convolution& c, std::size_t layer) {
        take_weight(c.name + ".weight", layer);
        for (const std::string& name : tensors_beside(c)) {
            const std::vector<float> from = read(name);
            dense_tensor& to = made_[name];
            to.shape = {cut_.kept(layer).size()};
            to.values.resize(to.shape[0]);
            cut_.gather<float>(layer, from, to.values);
        }
    }
    dense_tensors& get() { return made_; }

  private:
    std::vector<float> read(const std::string& name) const {
        return tools::read_floats(whole_.tensor(name).dense());
    }
    void take_weight(const std::string& name, std::size_t layer) {
        const auto shape = whole_.tensor(name).shape();
        const std::vector<float> from = read(name);
        const std::size_t rows = cut_.kept(layer).size(), cols = cut_.cols(layer);
        dense_tensor& to = made_[name];
        to.values.resize(rows * cols);
        tools::value_of(cut_.gather_weights(layer, {from.data(), shape[0], from.size() / shape[0]},
                                            {to.values.data(), rows, cols}),
                        name);
        to.shape.assign(shape.begin(), shape.end());
        to.shape[0] = rows;
        to.shape[1] = cols * shape[1] / (from.size() / shape[0]);
    }

    const checkpoint& whole_;
    const pare::prune::channel_cut& cut_;
    dense_tensors made_;
};

}  // namespace

network_channels channels_of(const architecture& a) {
    std::vector<operation> operations{operation::input(a.input.each.channels)};
    const auto add = [&](const operation& o) {
        operations.push_back(o);
        return operations.size() - 1;
    };
    std::array<std::size_t, architecture::n_slots> slots{};
    std::vector<std::size_t> reads, writes;
    for (const step& s : a.steps) {
        const std::size_t from = slots[s.from];
        std::size_t to = from;
        if (const auto* const c = std::get_if<convolution>(&s.what))
            to = add(operation_of(*c, s, from));
        else if (const auto* const r = std::get_if<residual>(&s.what)) {
            const std::size_t padded = add(operation::padding(from, s.out.channels, r->front));
            to = add(operation::elementwise(slots[s.to], padded));
        }
        reads.push_back(from);
        writes.push_back(slots[s.to] = to);
    }
    add(operation::output(writes.back()));
    return {tools::value_of(pare::prune::channel_graph::make(operations), a.name), reads, writes};
}

checkpoint cut(const checkpoint& whole, const network_channels& channels,
               std::span<const std::uint8_t> kept) {
    const auto made =
        tools::value_of(pare::prune::channel_cut::make(channels.graph, kept), whole.name());
    architecture a = whole.architecture();
    tensor_cutter tensors(whole, made);
    for (std::size_t i = 0; i < a.steps.size(); ++i) {
        step& s = a.steps[i];
        const std::size_t to = channels.writes[i];
        s.in.channels = made.kept(channels.reads[i]).size();
        s.out.channels = made.kept(to).size();
        if (const auto* const c = std::get_if<convolution>(&s.what)) tensors.take(*c, to);
        if (auto* const r = std::get_if<residual>(&s.what))
            r->front = made.front(channels.graph.operations()[to].reads[1]);
    }
    return {whole.name(), std::move(a), std::move(tensors.get())};
}

}  // namespace vision
