// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PRUNE_CHANNEL_GRAPH_HPP
#define PARE_PRUNE_CHANNEL_GRAPH_HPP

#include "channel_lists.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace pare::prune::inline PARE_ARCH_NAMESPACE {

/// Which channels of a model can only leave together: channel i of both sides of a sum, inputs and
/// outputs of a depthwise convolution, channel i of every group of a grouped one (so that groups
/// stay equal), a head with its queries. These are classes; a channel that is tied to none is a
/// class of its own. After Fang et al., "DepGraph", arXiv:2301.12900, whose groups are of layers:
/// here single channels are tied, so that paddings and concatenations need no rules.
class channel_graph {
  public:
    /// The group of classes that stay: they reach an input or an output of the model.
    static constexpr std::uint32_t fixed = static_cast<std::uint32_t>(-1);

    /// Offline: allocates 96 bytes per operation, 4 per channel that one writes, and up to 40 more
    /// for those that inputs, layers and paddings make.
    /// @return out_of_memory; with the number of an operation: invalid_argument where it reads one
    /// behind it or channels come to 2^32, shape_mismatch where extents do not fit
    static result<channel_graph> make(std::span<const channel_operation> operations) noexcept;

    std::span<const channel_operation> operations() const noexcept { return lists_.operations(); }
    /// The class of each channel that an operation writes.
    std::span<const std::uint32_t> classes(std::size_t operation) const noexcept {
        return lists_.of(operation);
    }
    std::size_t n_classes() const noexcept { return groups_.size(); }
    std::size_t n_groups() const noexcept { return n_groups_; }
    /// Where a class is made: rows of layers, zeros of paddings, inputs; operations ascend.
    std::span<const channel> members(std::size_t which) const noexcept {
        return members_.span().subspan(begins_[which], begins_[which + 1] - begins_[which]);
    }
    /// Classes with the same number of members from the same operations are a group: what is
    /// between two residual sums, a residual stream. Numbered by their first class.
    std::uint32_t group(std::size_t which) const noexcept { return groups_[which]; }

    /// Multiply-adds of the layers where classes are kept (1) or not (0).
    /// @pre kept (classes)
    std::uint64_t multiply_adds(std::span<const std::uint8_t> kept) const noexcept;

  private:
    std::size_t count(std::size_t operation, std::span<const std::uint8_t> kept) const noexcept;
    bool alike(std::size_t a, std::size_t b) const noexcept;
    status find_classes(disjoint_sets& ties) noexcept;
    status find_groups() noexcept;

    detail::channel_lists lists_;  // of classes
    buffer<channel> members_;      // class after class
    buffer<std::size_t> begins_;   // (classes + 1) in members_
    buffer<std::uint32_t> groups_;
    std::size_t n_groups_ = 0;
};

// Numbers classes by their least element, and lists their members.
inline status channel_graph::find_classes(disjoint_sets& ties) noexcept {
    const std::size_t n = ties.size();
    buffer<std::uint32_t> numbers;
    bool ok = true;
    detail::make_array(numbers, n, ok);
    detail::make_array(members_, n, ok);
    std::uint32_t n_classes = 0;
    for (std::uint32_t e = 0; ok && e < n; ++e) {
        const std::uint32_t least = ties.least_of(e);
        numbers[e] = least == e ? n_classes++ : numbers[least];
    }
    detail::make_array(begins_, std::size_t{n_classes} + 1, ok);
    if (!ok) return error{errc::out_of_memory, "channel_graph: an allocation failed"};
    for (const std::uint32_t c : numbers.span()) ++begins_[c];
    std::size_t end = 0;
    for (std::size_t& begin : begins_.span()) begin = end += begin;
    for (std::size_t e = n; e-- > 0;) members_[--begins_[numbers[e]]] = lists_.made(e);
    for (std::uint32_t& entry : lists_.entries()) entry = numbers[entry];
    return {};
}

inline bool channel_graph::alike(std::size_t a, std::size_t b) const noexcept {
    const auto x = members(a), y = members(b);
    bool same = x.size() == y.size();
    for (std::size_t i = 0; same && i < x.size(); ++i) same = x[i].operation == y[i].operation;
    return same;
}

inline status channel_graph::find_groups() noexcept {
    const std::size_t n = begins_.size() - 1;
    buffer<std::uint32_t> first;  // class of each group
    bool ok = true;
    detail::make_array(groups_, n, ok);
    detail::make_array(first, n, ok);
    if (!ok) return error{errc::out_of_memory, "channel_graph: an allocation failed"};
    for (std::size_t i = 0; i < operations().size(); ++i)
        if (const auto what = operations()[i].what;
            what == channel_operation::kind::input || what == channel_operation::kind::output)
            for (const std::uint32_t c : classes(i)) groups_[c] = fixed;
    for (std::uint32_t c = 0; c < n; ++c) {
        if (groups_[c] == fixed) continue;
        std::uint32_t g = 0;
        while (g < n_groups_ && !alike(first[g], c)) ++g;
        if (g == n_groups_) first[n_groups_++] = c;
        groups_[c] = g;
    }
    return {};
}

inline result<channel_graph> channel_graph::make(
    std::span<const channel_operation> operations) noexcept {
    channel_graph made;
    auto lists = detail::channel_lists::make(operations);
    if (!lists) return lists.error();
    made.lists_ = *std::move(lists);
    auto ties = made.lists_.make_ties();
    if (!ties) return ties.error();
    if (const status done = made.find_classes(*ties); !done) return done.error();
    if (const status done = made.find_groups(); !done) return done.error();
    return made;
}

inline std::size_t channel_graph::count(std::size_t operation,
                                        std::span<const std::uint8_t> kept) const noexcept {
    std::size_t n = 0;
    for (const std::uint32_t c : classes(operation)) n += kept[c];
    return n;
}

inline std::uint64_t channel_graph::multiply_adds(
    std::span<const std::uint8_t> kept) const noexcept {
    PARE_ASSERT(kept.size() == n_classes(), "one flag for each class");
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < operations().size(); ++i) {
        const channel_operation& o = operations()[i];
        if (!o.has_weights()) continue;
        const std::uint64_t each =
            o.what == channel_operation::kind::depthwise ? 1 : count(o.reads[0], kept) / o.groups;
        sum += each * count(i, kept) * o.taps * o.positions;
    }
    return sum;
}

}  // namespace pare::prune::inline PARE_ARCH_NAMESPACE

#endif  // PARE_PRUNE_CHANNEL_GRAPH_HPP
