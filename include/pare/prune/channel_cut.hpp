// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PRUNE_CHANNEL_CUT_HPP
#define PARE_PRUNE_CHANNEL_CUT_HPP

#include "channel_graph.hpp"

#include "../core/tensor_view.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace pare::prune::inline PARE_ARCH_NAMESPACE {

/// What is left of a model without some classes of channels, as lists of what to gather: weights
/// and whatever is kept per channel (biases, norms) become smaller tensors. What the smaller model
/// computes is what the whole one does with the removed channels multiplied by zero.
class channel_cut {
  public:
    /// @param kept   (classes) 1 = kept
    /// @param graph  read here only
    /// @return shape_mismatch; out_of_memory; invalid_argument for a flag above 1, where a fixed
    /// class leaves, or all channels that an operation, given by number, writes
    static result<channel_cut> make(const channel_graph& graph,
                                    std::span<const std::uint8_t> kept) noexcept;

    /// Those of the channels written by an operation that stay, ascending.
    std::span<const std::uint32_t> kept(std::size_t operation) const noexcept {
        return kept_.span().subspan(begins_[operation],
                                    begins_[operation + 1] - begins_[operation]);
    }
    /// Zeros that a padding has before the channels that it reads.
    std::size_t front(std::size_t padding) const noexcept {
        std::size_t n = 0;
        while (n < kept(padding).size() && kept(padding)[n] < operations_[padding].front) ++n;
        return n;
    }
    /// Weights of a row of a layer: those of a group's inputs.
    std::size_t cols(std::size_t layer) const noexcept {
        return n_columns(layer) * operations_[layer].taps;
    }

    /// Elements of whatever is kept per channel. from: (channels), to: (kept channels).
    template <class T>
    void gather(std::size_t operation, std::span<const T> from, std::span<T> to) const noexcept {
        PARE_ASSERT(to.size() == kept(operation).size(), "one element for each kept channel");
        for (std::size_t i = 0; i < to.size(); ++i) to[i] = from[kept(operation)[i]];
    }

    /// The weights that are left. to: (kept channels, cols(layer)), other memory than weights.
    /// @return shape_mismatch
    status gather_weights(std::size_t layer, matrix_view<const float> weights,
                          matrix_view<float> to) const noexcept;

    /// Adds to a layer's bias what removed inputs gave if they were the same everywhere: act(bias)
    /// of a channel whose filter is zero, or their mean. Exact without zeros around the maps; next
    /// to these, where fewer taps see an input, outputs get all of it nevertheless.
    /// @param weights    before the cut
    /// @param constants  (channels that it reads) of those removed; others are not looked at
    /// @param bias       (kept channels)
    /// @return shape_mismatch
    status absorb(std::size_t layer, matrix_view<const float> weights,
                  std::span<const float> constants, std::span<float> bias) const noexcept;

  private:
    struct extents {
        channel_operation::kind what;
        std::size_t reads, channels, columns, taps, front;
    };

    static bool is_depthwise(const extents& o) noexcept {
        return o.what == channel_operation::kind::depthwise;
    }
    // Input channels of a group that stay: every group keeps the same.
    std::size_t n_columns(std::size_t layer) const noexcept {
        const extents& o = operations_[layer];
        if (is_depthwise(o)) return 1;
        std::size_t n = 0;
        while (n < kept(o.reads).size() && kept(o.reads)[n] < o.columns) ++n;
        return n;
    }
    bool fits(std::size_t layer, matrix_view<const float> weights) const noexcept {
        const extents& o = operations_[layer];
        return weights.rows() == o.channels && weights.cols() == o.columns * o.taps;
    }

    buffer<extents> operations_;
    buffer<std::size_t> begins_;  // (operations + 1) in kept_
    buffer<std::uint32_t> kept_;
};

inline result<channel_cut> channel_cut::make(const channel_graph& graph,
                                             std::span<const std::uint8_t> kept) noexcept {
    if (kept.size() != graph.n_classes())
        return error{errc::shape_mismatch, "channel_cut: one flag for each class"};
    for (std::size_t c = 0; c < kept.size(); ++c) {
        if (kept[c] > 1)
            return error{errc::invalid_argument, "channel_cut: a flag is neither 0 nor 1", c};
        if (kept[c] == 0 && graph.group(c) == channel_graph::fixed)
            return error{errc::invalid_argument, "channel_cut: a fixed class would leave", c};
    }
    const auto operations = graph.operations();
    channel_cut made;
    bool ok = true;
    detail::make_array(made.operations_, operations.size(), ok);
    detail::make_array(made.begins_, operations.size() + 1, ok);
    std::size_t n = 0;
    for (std::size_t i = 0; ok && i < operations.size(); ++i) {
        const channel_operation& o = operations[i];
        const std::size_t groups = o.what == channel_operation::kind::depthwise
                                       ? graph.classes(o.reads[0]).size()
                                       : o.groups;
        made.operations_[i] = {
            o.what, o.reads[0], graph.classes(i).size(), graph.classes(o.reads[0]).size() / groups,
            o.taps, o.front};
        for (const std::uint32_t c : graph.classes(i)) n += kept[c];
        made.begins_[i + 1] = n;
        if (n == made.begins_[i])
            return error{errc::invalid_argument, "channel_cut: an operation has no channel left",
                         i};
    }
    detail::make_array(made.kept_, n, ok);
    if (!ok) return error{errc::out_of_memory, "channel_cut: an allocation failed"};
    n = 0;
    for (std::size_t i = 0; i < operations.size(); ++i)
        for (std::uint32_t c = 0; c < graph.classes(i).size(); ++c)
            if (kept[graph.classes(i)[c]] != 0) made.kept_[n++] = c;
    return made;
}

inline status channel_cut::gather_weights(std::size_t layer, matrix_view<const float> weights,
                                          matrix_view<float> to) const noexcept {
    const extents& o = operations_[layer];
    const auto rows = kept(layer);
    if (!fits(layer, weights) || to.rows() != rows.size() || to.cols() != cols(layer))
        return error{errc::shape_mismatch, "channel_cut: weights are not those of the layer"};
    for (std::size_t r = 0; r < rows.size(); ++r)
        for (std::size_t c = 0; c < to.cols(); ++c) {
            const std::size_t from = is_depthwise(o) ? 0 : kept(o.reads)[c / o.taps];
            to(r, c) = weights(rows[r], from * o.taps + c % o.taps);
        }
    return {};
}

inline status channel_cut::absorb(std::size_t layer, matrix_view<const float> weights,
                                  std::span<const float> constants,
                                  std::span<float> bias) const noexcept {
    const extents& o = operations_[layer];
    const auto rows = kept(layer), inputs = kept(o.reads);
    if (!fits(layer, weights) || constants.size() != operations_[o.reads].channels ||
        bias.size() != rows.size())
        return error{errc::shape_mismatch, "channel_cut: weights are not those of the layer"};
    if (is_depthwise(o)) return {};  // what reads a removed channel is removed
    const std::size_t rows_per_group = o.channels / (constants.size() / o.columns);
    for (std::size_t r = 0; r < rows.size(); ++r) {
        const std::size_t first = rows[r] / rows_per_group * o.columns;
        double sum = 0.0;
        for (std::size_t c = 0, k = 0; c < o.columns; ++c) {
            while (k < inputs.size() && inputs[k] < first + c) ++k;
            if (k < inputs.size() && inputs[k] == first + c) continue;
            for (std::size_t t = 0; t < o.taps; ++t)
                sum += static_cast<double>(constants[first + c]) *
                       static_cast<double>(weights(rows[r], c * o.taps + t));
        }
        bias[r] += static_cast<float>(sum);
    }
    return {};
}

}  // namespace pare::prune::inline PARE_ARCH_NAMESPACE

#endif  // PARE_PRUNE_CHANNEL_CUT_HPP
