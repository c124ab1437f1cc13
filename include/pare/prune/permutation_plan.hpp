// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PRUNE_PERMUTATION_PLAN_HPP
#define PARE_PRUNE_PERMUTATION_PLAN_HPP

#include "../core/buffer.hpp"
#include "../core/status.hpp"
#include "hinm_order.hpp"
#include "search_input.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace pare::prune {

/// What lies between layers: the channels that some write and others read, with nothing but
/// elementwise work, or norms over all channels, between.
struct activation {
    static constexpr std::size_t all = static_cast<std::size_t>(-1);

    /// Channels may change places within blocks of this many: 1 where their order is fixed
    /// (residual streams, inputs and outputs of a model), head_dim where heads stay apart, or
    /// `all`.
    std::size_t block = 1;
    /// How often readers see each block: for values of attention the query heads of a KV head.
    std::size_t repeats = 1;
};

inline namespace PARE_ARCH_NAMESPACE {

/// A layer between two activations, named by their number.
struct planned_layer {
    const hinm_order* order;  ///< null: outputs in place, and no list of columns
    std::size_t reads, writes;
};

/// Which layers of a model may leave their outputs in the order of their tiles. Such an order is
/// absorbed: the readers of the activation find its channels through their lists of columns, which
/// they read anyway, and whatever is kept per channel (bias, scale of a norm) is permuted once. All
/// other layers store each row where it belongs (scatter): row outputs()[i] is what place i
/// computes.
///
/// An order is absorbed where all writers of the activation have the same (gate and up of a gated
/// MLP meet channel by channel), its channels stay within their blocks, and all readers have lists
/// of columns.
class permutation_plan {
  public:
    /// Orders are read, not kept.
    /// @return out_of_memory; invalid_argument for an activation that does not exist or whose
    /// blocks do not divide its channels; shape_mismatch where writers or readers differ in its
    /// channels
    static result<permutation_plan> make(std::span<const activation> activations,
                                         std::span<const planned_layer> layers) noexcept;

    /// Whether a layer's outputs stay in the order of its tiles; else it scatters them.
    bool stays(std::size_t layer) const noexcept { return stays_[layer] != 0; }

    /// Makes columns of a layer's weights, as in hinm_order::columns(), the places where the
    /// activation that it reads has them. The weights themselves are packed by the old list.
    void renumber(std::size_t layer, std::span<std::uint32_t> columns) const noexcept {
        const absorbed_order& a = activations_[reads_[layer]];
        if (a.n_channels == 0) return;
        for (std::uint32_t& c : columns) {
            const std::size_t block = c / a.block, first = block / a.repeats * a.block;
            const std::size_t within = places_[a.begin + first + c % a.block] - first;
            c = static_cast<std::uint32_t>(block * a.block + within);
        }
    }

    /// Permutes what is kept per channel of an activation. from, to: (channels), not the same
    /// memory.
    template <class T>
    void permute(std::size_t activation, std::span<const T> from, std::span<T> to) const noexcept {
        PARE_ASSERT(from.size() == to.size(), "one value for each channel");
        const absorbed_order& a = activations_[activation];
        for (std::size_t c = 0; c < from.size(); ++c)
            to[c < a.n_channels ? places_[a.begin + c] : c] = from[c];
    }

  private:
    struct absorbed_order {
        std::size_t begin, n_channels, block, repeats;  // 0 channels: they lie in place
        const hinm_order* of_writers;                   // while the plan is made
    };

    static result<absorbed_order> absorb(std::size_t which, const activation& a,
                                         std::span<const planned_layer> layers) noexcept;
    static bool in_place(const hinm_order& order) noexcept {
        for (std::size_t i = 0; i < order.rows(); ++i)
            if (order.outputs()[i] != i) return false;
        return true;
    }
    static bool same(const hinm_order& a, const hinm_order& b) noexcept {
        for (std::size_t i = 0; i < a.rows(); ++i)
            if (a.outputs()[i] != b.outputs()[i]) return false;
        return true;
    }

    buffer<absorbed_order> activations_;
    buffer<std::uint32_t> places_;  // (channels) of each absorbed order: where a channel lies
    buffer<std::size_t> reads_;     // (layers)
    buffer<std::uint8_t> stays_;    // (layers)
};

// The order that an activation may have, if any.
inline result<permutation_plan::absorbed_order> permutation_plan::absorb(
    std::size_t which, const activation& a, std::span<const planned_layer> layers) noexcept {
    const hinm_order* order = nullptr;
    bool agreed = true;
    for (const planned_layer& l : layers) {
        if (l.writes != which) continue;
        if (order == nullptr) order = l.order;
        if (l.order == nullptr) agreed = false;
        else if (order->rows() != l.order->rows())
            return error{errc::shape_mismatch, "writers of an activation differ in rows", which};
        else agreed = agreed && same(*order, *l.order);
    }
    if (order == nullptr) return absorbed_order{};
    const std::size_t n = order->rows(), block = a.block < n ? a.block : n;
    if (a.repeats == 0 || (n != 0 && (block == 0 || n % block != 0)))
        return error{errc::invalid_argument, "blocks divide an activation's channels", which};
    for (const planned_layer& l : layers) {
        if (l.reads != which) continue;
        agreed = agreed && l.order != nullptr;
        if (l.order != nullptr && l.order->cols() != n * a.repeats)
            return error{errc::shape_mismatch, "a reader's columns are not what is written", which};
    }
    for (std::size_t i = 0; i < n && agreed; ++i) agreed = order->outputs()[i] / block == i / block;
    if (!agreed || in_place(*order)) return absorbed_order{};
    return absorbed_order{0, n, block, a.repeats, order};
}

inline result<permutation_plan> permutation_plan::make(
    std::span<const activation> activations, std::span<const planned_layer> layers) noexcept {
    for (std::size_t l = 0; l < layers.size(); ++l)
        if (layers[l].reads >= activations.size() || layers[l].writes >= activations.size())
            return error{errc::invalid_argument, "a layer names no activation", l};
    permutation_plan made;
    bool ok = true;
    detail::make_array(made.activations_, activations.size(), ok);
    detail::make_array(made.reads_, layers.size(), ok);
    detail::make_array(made.stays_, layers.size(), ok);
    if (!ok) return error{errc::out_of_memory, "permutation_plan: an allocation failed"};
    std::size_t n_channels = 0;
    for (std::size_t i = 0; i < activations.size(); ++i) {
        const auto absorbed = absorb(i, activations[i], layers);
        if (!absorbed) return absorbed.error();
        made.activations_[i] = *absorbed;
        made.activations_[i].begin = n_channels;
        n_channels += absorbed->n_channels;
    }
    detail::make_array(made.places_, n_channels, ok);
    if (!ok) return error{errc::out_of_memory, "permutation_plan: an allocation failed"};
    for (absorbed_order& a : made.activations_.span()) {
        for (std::uint32_t i = 0; i < a.n_channels; ++i)
            made.places_[a.begin + a.of_writers->outputs()[i]] = i;
        a.of_writers = nullptr;
    }
    for (std::size_t l = 0; l < layers.size(); ++l) {
        made.reads_[l] = layers[l].reads;
        made.stays_[l] = layers[l].order == nullptr || in_place(*layers[l].order) ||
                         made.activations_[layers[l].writes].n_channels != 0;
    }
    return made;
}

}  // namespace PARE_ARCH_NAMESPACE

}  // namespace pare::prune

#endif  // PARE_PRUNE_PERMUTATION_PLAN_HPP
