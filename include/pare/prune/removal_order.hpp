// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PRUNE_REMOVAL_ORDER_HPP
#define PARE_PRUNE_REMOVAL_ORDER_HPP

#include "channel_graph.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

namespace pare::prune::inline PARE_ARCH_NAMESPACE::detail {

/// The classes that may leave, in the order in which they do, and how many a group can spare.
class removal_order {
  public:
    static result<removal_order> make(const channel_graph& graph, std::span<const float> scores,
                                      std::span<const std::uint32_t> pools, std::size_t multiple,
                                      float least) noexcept;

    std::size_t size() const noexcept { return order_.size(); }

    /// Without the first n, but for those that rounding brings back.
    void keep(std::size_t n, std::span<std::uint8_t> kept) noexcept;
    /// Without the first n; then, the best of these first, as much again of a group as rounding
    /// counts in, as long as what is kept is enough, group by group.
    void keep_most(std::size_t n, std::span<std::uint8_t> kept, auto&& enough) noexcept;
    /// As many of each group, rounded likewise.
    void keep_counts(std::span<const std::size_t> counts, std::span<std::uint8_t> kept) noexcept;

  private:
    void keep_but_leaving(std::span<std::uint8_t> kept) noexcept;

    struct group {
        std::size_t size, unit, least, leaving, gone;
        bool settled;
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
                                                 std::size_t multiple, float least) noexcept {
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
        if (g.size++ == 0) g.unit = classes_of(multiple, graph.members(c));
    }
    for (group& g : made.groups_.span()) {
        const auto stay = static_cast<std::size_t>(static_cast<float>(g.size) * least + 0.5f);
        g.least = stay == 0 ? 1 : stay;
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

inline void removal_order::keep_but_leaving(std::span<std::uint8_t> kept) noexcept {
    for (group& g : groups_.span()) {
        std::size_t stay = g.size - g.leaving;
        if (stay < g.least) stay = g.least;
        if (const std::size_t beyond = stay % g.unit; beyond > 0) stay += g.unit - beyond;
        g.gone = g.leaving = stay < g.size ? g.size - stay : 0;
    }
    for (std::uint8_t& k : kept) k = 1;
    for (const std::uint32_t c : order_.span())  // within a group the worst are first
        if (group& g = groups_[graph_->group(c)]; g.leaving > 0) {
            kept[c] = 0;
            --g.leaving;
        }
}

inline void removal_order::keep(std::size_t n, std::span<std::uint8_t> kept) noexcept {
    for (group& g : groups_.span()) g.leaving = 0;
    for (std::size_t i = 0; i < n; ++i) ++groups_[graph_->group(order_[i])].leaving;
    keep_but_leaving(kept);
}

inline void removal_order::keep_most(std::size_t n, std::span<std::uint8_t> kept,
                                     auto&& enough) noexcept {
    keep(n, kept);
    for (group& g : groups_.span()) g.settled = g.unit == 1;  // then one class less was too few
    while (n > 0) {
        group& g = groups_[graph_->group(order_[--n])];
        while (!g.settled && g.gone > 0) {
            const std::size_t before = g.gone;
            for (group& other : groups_.span()) other.leaving = other.gone;
            g.leaving = before < g.unit ? 0 : before - g.unit;
            keep_but_leaving(kept);
            if (enough()) continue;
            g.settled = true;
            for (group& other : groups_.span()) other.leaving = other.gone;
            g.leaving = before;
            keep_but_leaving(kept);
        }
    }
}

inline void removal_order::keep_counts(std::span<const std::size_t> counts,
                                       std::span<std::uint8_t> kept) noexcept {
    for (std::size_t i = 0; i < counts.size(); ++i)
        groups_[i].leaving = counts[i] < groups_[i].size ? groups_[i].size - counts[i] : 0;
    keep_but_leaving(kept);
}

}  // namespace pare::prune::inline PARE_ARCH_NAMESPACE::detail

#endif  // PARE_PRUNE_REMOVAL_ORDER_HPP
