// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PRUNE_CHANNEL_SELECTION_HPP
#define PARE_PRUNE_CHANNEL_SELECTION_HPP

#include "../core/dtype.hpp"
#include "channel_graph.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

namespace pare::prune::inline PARE_ARCH_NAMESPACE {

/// Which classes of channels leave until a share of a model's multiply-adds has.
///
/// Groups in one pool have one threshold, and every pool loses the same share of its classes. So a
/// pool for each group is the same ratio in every layer, one for all a global ranking; pools by the
/// extents of maps and the kind of layer, with the scale of a batch norm as the score, are the
/// thresholds of arXiv:2306.01526.
struct channel_selection {
    double share = 0.3;        ///< of multiply-adds to remove, in [0, 1)
    std::size_t multiple = 1;  ///< what an operation's channels in a group are rounded up to
    float least = 0.0f;        ///< share of a group's classes that stays; at least one does

    /// As few as remove that share, counted by what is left of each layer. Offline: allocates 21
    /// bytes per class and 40 per group.
    /// @param scores  (classes) higher = keep; of equal ones the first stays
    /// @param pools   (groups) the pool of each, any numbers below the number of groups
    /// @param kept    (classes) written: 1 = kept
    /// @return shape_mismatch; not_a_number; out_of_memory; invalid_argument for parameters outside
    /// their range, or a share that cannot be removed; kept is then untouched
    status select(const channel_graph& graph, std::span<const float> scores,
                  std::span<const std::uint32_t> pools,
                  std::span<std::uint8_t> kept) const noexcept;
};

namespace detail {

/// The classes that may leave, in the order in which they do, and how many a group can spare.
class removal_order {
  public:
    static result<removal_order> make(const channel_graph& graph, std::span<const float> scores,
                                      std::span<const std::uint32_t> pools,
                                      const channel_selection& s) noexcept;

    std::size_t size() const noexcept { return order_.size(); }

    /// Without the first n, but for those that rounding brings back.
    void keep(std::size_t n, std::span<std::uint8_t> kept) noexcept;

  private:
    struct group {
        std::size_t size, unit, least, leaving;
    };

    const channel_graph* graph_ = nullptr;
    buffer<std::uint32_t> order_;
    buffer<group> groups_;
};

inline std::size_t greatest_divisor(std::size_t a, std::size_t b) noexcept {
    while (b != 0) {
        const std::size_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

// The fewest classes with these members that have a multiple of channels in each operation.
inline std::size_t classes_of(std::size_t multiple, std::span<const channel> members) noexcept {
    std::size_t unit = 1;  // divides multiple
    for (std::size_t i = 0, run = 1; i < members.size(); ++i, ++run) {
        if (i + 1 < members.size() && members[i + 1].operation == members[i].operation) continue;
        const std::size_t needed = multiple / greatest_divisor(multiple, run);
        unit *= needed / greatest_divisor(unit, needed);
        run = 0;
    }
    return unit;
}

inline result<removal_order> removal_order::make(const channel_graph& graph,
                                                 std::span<const float> scores,
                                                 std::span<const std::uint32_t> pools,
                                                 const channel_selection& s) noexcept {
    struct place {
        std::uint64_t rank, of;
    };
    removal_order made;
    made.graph_ = &graph;
    buffer<place> places;
    buffer<std::uint64_t> pool_sizes;
    bool ok = true;
    std::size_t n = 0;
    for (std::size_t c = 0; c < graph.n_classes(); ++c) n += graph.group(c) != channel_graph::fixed;
    make_array(made.order_, n, ok);
    make_array(made.groups_, graph.n_groups(), ok);
    make_array(places, graph.n_classes(), ok);
    make_array(pool_sizes, graph.n_groups(), ok);
    if (!ok) return error{errc::out_of_memory, "channel_selection: an allocation failed"};

    std::uint32_t* const order = made.order_.data();
    n = 0;
    for (std::uint32_t c = 0; c < graph.n_classes(); ++c) {
        if (graph.group(c) == channel_graph::fixed) continue;
        order[n++] = c;
        ++pool_sizes[pools[graph.group(c)]];
        group& g = made.groups_[graph.group(c)];
        if (g.size++ == 0) g.unit = classes_of(s.multiple, graph.members(c));
    }
    for (group& g : made.groups_.span()) {
        const auto least = static_cast<std::size_t>(static_cast<float>(g.size) * s.least + 0.5f);
        g.least = least == 0 ? 1 : least;
    }
    const auto pool = [&](std::uint32_t c) { return pools[graph.group(c)]; };
    std::sort(order, order + n, [&](std::uint32_t a, std::uint32_t b) {
        if (pool(a) != pool(b)) return pool(a) < pool(b);
        return scores[a] != scores[b] ? scores[a] < scores[b] : a > b;
    });
    std::uint64_t rank = 0;
    for (std::size_t i = 0; i < n; ++i) {
        rank = i > 0 && pool(order[i]) == pool(order[i - 1]) ? rank + 1 : 1;
        places[order[i]] = {rank, pool_sizes[pool(order[i])]};
    }
    std::sort(order, order + n, [&](std::uint32_t a, std::uint32_t b) {
        const std::uint64_t x = places[a].rank * places[b].of, y = places[b].rank * places[a].of;
        return x != y ? x < y : pool(a) < pool(b);
    });
    return made;
}

inline void removal_order::keep(std::size_t n, std::span<std::uint8_t> kept) noexcept {
    for (group& g : groups_.span()) g.leaving = 0;
    for (std::size_t i = 0; i < n; ++i) ++groups_[graph_->group(order_[i])].leaving;
    for (group& g : groups_.span()) {
        std::size_t stay = g.size - g.leaving;
        if (stay < g.least) stay = g.least;
        if (const std::size_t beyond = stay % g.unit; beyond > 0) stay += g.unit - beyond;
        g.leaving = stay < g.size ? g.size - stay : 0;
    }
    for (std::uint8_t& k : kept) k = 1;
    for (std::size_t i = 0; i < n; ++i)  // within a group the worst are first
        if (group& g = groups_[graph_->group(order_[i])]; g.leaving > 0) {
            kept[order_[i]] = 0;
            --g.leaving;
        }
}

}  // namespace detail

inline status channel_selection::select(const channel_graph& graph, std::span<const float> scores,
                                        std::span<const std::uint32_t> pools,
                                        std::span<std::uint8_t> kept) const noexcept {
    const bool finite = is_finite(share) && is_finite(least);
    if (!finite || share < 0.0 || share >= 1.0 || least < 0.0f || least > 1.0f || multiple == 0)
        return error{errc::invalid_argument, "channel_selection: a parameter is out of range"};
    if (scores.size() != graph.n_classes() || kept.size() != graph.n_classes() ||
        pools.size() != graph.n_groups())
        return error{errc::shape_mismatch, "a score and a flag for each class, a pool per group"};
    for (std::size_t c = 0; c < scores.size(); ++c)
        if (!is_finite(scores[c])) return error{errc::not_a_number, "a score is not finite", c};
    for (const std::uint32_t p : pools)
        if (p >= graph.n_groups()) return error{errc::invalid_argument, "no such pool", p};
    auto order = detail::removal_order::make(graph, scores, pools, *this);
    auto tried = buffer<std::uint8_t>::make(graph.n_classes());
    if (!order) return order.error();
    if (!tried) return tried.error();

    const auto left_without = [&](std::size_t n) {
        order->keep(n, tried->span());
        return static_cast<double>(graph.multiply_adds(tried->span()));
    };
    const double all = left_without(0);
    const auto removes_enough = [&](std::size_t n) {
        return left_without(n) <= (1.0 - share) * all;
    };
    std::size_t too_few = 0, enough = order->size();  // what goes first goes with more, too
    if (!removes_enough(enough))
        return error{errc::invalid_argument, "channel_selection: that share cannot be removed"};
    while (too_few < enough) {
        const std::size_t middle = too_few + (enough - too_few) / 2;
        if (removes_enough(middle)) enough = middle;
        else too_few = middle + 1;
    }
    order->keep(enough, kept);
    return {};
}

}  // namespace pare::prune::inline PARE_ARCH_NAMESPACE

#endif  // PARE_PRUNE_CHANNEL_SELECTION_HPP
