// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PRUNE_CHANNEL_LISTS_HPP
#define PARE_PRUNE_CHANNEL_LISTS_HPP

#include "channel_operation.hpp"
#include "disjoint_sets.hpp"
#include "search_input.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace pare::prune {

/// A channel of what an operation writes.
struct channel {
    std::uint32_t operation, number;
};

}  // namespace pare::prune

namespace pare::prune::inline PARE_ARCH_NAMESPACE::detail {

/// What each operation writes, as a list of the channels that inputs, layers and paddings make.
class channel_lists {
  public:
    channel_lists() noexcept = default;

    /// Copies operations. @return see channel_graph::make
    static result<channel_lists> make(std::span<const channel_operation> operations) noexcept;

    std::span<const channel_operation> operations() const noexcept { return operations_.span(); }
    std::span<const std::uint32_t> of(std::size_t operation) const noexcept {
        return entries_.span().subspan(lists_[operation].begin, lists_[operation].size);
    }
    std::span<std::uint32_t> entries() noexcept { return entries_.span(); }
    const channel& made(std::size_t element) const noexcept { return made_[element]; }

    /// Made channels that stay or go together.
    result<disjoint_sets> make_ties() const noexcept;

  private:
    struct list {
        std::size_t begin, size;
    };

    std::size_t size_of_read(std::size_t operation, std::size_t which = 0) const noexcept {
        return lists_[operations_[operation].reads[which]].size;
    }
    result<std::size_t> size_of(std::size_t operation) const noexcept;
    status measure(std::size_t& n_entries, std::size_t& n_made) noexcept;
    void fill(std::size_t operation, std::uint32_t& n_made) noexcept;

    buffer<channel_operation> operations_;
    buffer<list> lists_;  // (operations); sums share the list of their first
    buffer<std::uint32_t> entries_;
    buffer<channel> made_;
};

// Channels that an operation writes.
inline result<std::size_t> channel_lists::size_of(std::size_t i) const noexcept {
    using enum channel_operation::kind;
    const channel_operation& o = operations_[i];
    for (std::size_t r = 0; r < o.n_reads(); ++r)
        if (o.reads[r] >= i) return error{errc::invalid_argument, "it reads what is behind it", i};
    const auto n = [&](std::size_t which = 0) { return size_of_read(i, which); };
    bool fits = true;
    std::size_t size = o.channels;
    switch (o.what) {
        case input:
            fits = size > 0;
            break;
        case layer:
            fits = size > 0 && o.groups > 0 && size % o.groups == 0 && n() % o.groups == 0;
            break;
        case depthwise:
            fits = size > 0 && size % n() == 0;
            break;
        case elementwise:
            fits = n(0) == n(1);
            size = n();
            break;
        case concatenation:
            size = n(0) + n(1);
            break;
        case padding:
            fits = o.front <= size && n() <= size - o.front;
            break;
        case attention:
            fits = o.head_dim > 0 && n(1) == n(2) && n(1) % o.head_dim == 0 && n(0) % n(1) == 0;
            size = n();
            break;
        case output:
            size = n();
            break;
    }
    if (!fits) return error{errc::shape_mismatch, "channels of an operation do not fit", i};
    return size;
}

inline status channel_lists::measure(std::size_t& n_entries, std::size_t& n_made) noexcept {
    using enum channel_operation::kind;
    for (std::size_t i = 0; i < operations_.size(); ++i) {
        const result<std::size_t> size = size_of(i);
        if (!size) return size.error();
        if (*size > static_cast<std::uint32_t>(-1) - n_entries)
            return error{errc::invalid_argument, "2^32 channels or more", i};
        const channel_operation& o = operations_[i];
        const bool shares = o.what == elementwise || o.what == output;
        lists_[i] = {shares ? lists_[o.reads[0]].begin : n_entries, *size};
        n_entries += shares ? 0 : *size;
        if (o.what == input || o.has_weights()) n_made += *size;
        if (o.what == padding) n_made += *size - size_of_read(i);
    }
    return {};
}

inline void channel_lists::fill(std::size_t i, std::uint32_t& n_made) noexcept {
    using enum channel_operation::kind;
    const channel_operation& o = operations_[i];
    const auto to = entries_.span().subspan(lists_[i].begin, lists_[i].size);
    const auto from = [&](std::size_t which = 0) { return of(o.reads[which]); };
    for (std::uint32_t c = 0; c < to.size(); ++c) {
        if (o.what == concatenation)
            to[c] = c < from().size() ? from()[c] : from(1)[c - from().size()];
        else if (o.what == attention) {
            const std::size_t head = c / o.head_dim, repeats = to.size() / from(2).size();
            to[c] = from(2)[head / repeats * o.head_dim + c % o.head_dim];
        } else if (o.what == padding && c >= o.front && c - o.front < from().size())
            to[c] = from()[c - o.front];
        else if (o.what != elementwise && o.what != output) {
            made_[n_made] = {static_cast<std::uint32_t>(i), c};
            to[c] = n_made++;
        }
    }
}

inline result<channel_lists> channel_lists::make(
    std::span<const channel_operation> operations) noexcept {
    channel_lists l;
    bool ok = true;
    std::size_t n_entries = 0, n_made = 0;
    make_array(l.operations_, operations.size(), ok);
    make_array(l.lists_, operations.size(), ok);
    if (ok) {
        for (std::size_t i = 0; i < operations.size(); ++i) l.operations_[i] = operations[i];
        if (const status done = l.measure(n_entries, n_made); !done) return done.error();
    }
    make_array(l.entries_, n_entries, ok);
    make_array(l.made_, n_made, ok);
    if (!ok) return error{errc::out_of_memory, "channel_graph: an allocation failed"};
    std::uint32_t n = 0;
    for (std::size_t i = 0; i < operations.size(); ++i) l.fill(i, n);
    return l;
}

inline result<disjoint_sets> channel_lists::make_ties() const noexcept {
    using enum channel_operation::kind;
    auto ties = disjoint_sets::make(made_.size());
    if (!ties) return ties;
    // Channel c with channel c % period of the same list: of every group, of every head.
    const auto fold = [&](std::span<const std::uint32_t> all, std::size_t period) {
        for (std::size_t c = period; c < all.size(); ++c) ties->unite(all[c], all[c % period]);
    };
    for (std::size_t i = 0; i < operations_.size(); ++i) {
        const channel_operation& o = operations_[i];
        const auto read = [&](std::size_t which) { return of(o.reads[which]); };
        if (o.what == layer && o.groups > 1) {
            fold(of(i), of(i).size() / o.groups);
            fold(read(0), read(0).size() / o.groups);
        } else if (o.what == depthwise) {
            const std::size_t filters = of(i).size() / read(0).size();
            for (std::size_t c = 0; c < of(i).size(); ++c)
                ties->unite(of(i)[c], read(0)[c / filters]);
        } else if (o.what == elementwise) {
            for (std::size_t c = 0; c < read(0).size(); ++c) ties->unite(read(0)[c], read(1)[c]);
        } else if (o.what == attention) {
            const std::size_t repeats = read(0).size() / read(1).size();
            for (std::size_t c = 0; c < read(0).size(); ++c) {
                const std::size_t head = c / (o.head_dim * repeats) * o.head_dim;
                for (const std::uint32_t e :
                     {read(0)[c], read(1)[head + c % o.head_dim], read(2)[head + c % o.head_dim]})
                    ties->unite(e, read(2)[head]);
            }
        }
    }
    return ties;
}

}  // namespace pare::prune::inline PARE_ARCH_NAMESPACE::detail

#endif  // PARE_PRUNE_CHANNEL_LISTS_HPP
