// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_IO_SORT_HPP
#define PARE_IO_SORT_HPP

#include "../core/config.hpp"

#include <cstddef>
#include <span>
#include <string_view>

namespace pare::io::inline PARE_ARCH_NAMESPACE {

/// Sorts in place, not stably, in O(n log n) steps and without recursion.
template <class T, class Less>
void heap_sort(std::span<T> items, Less less) noexcept {
    const auto sink = [&](std::size_t hole, std::size_t end) {
        const T item = items[hole];
        for (std::size_t child = 2 * hole + 1; child < end; child = 2 * hole + 1) {
            if (child + 1 < end && less(items[child], items[child + 1])) ++child;
            if (!less(item, items[child])) break;
            items[hole] = items[child];
            hole = child;
        }
        items[hole] = item;
    };
    for (std::size_t i = items.size() / 2; i-- > 0;) sink(i, items.size());
    for (std::size_t end = items.size(); end-- > 1;) {
        const T largest = items[0];
        items[0] = items[end];
        items[end] = largest;
        sink(0, end);
    }
}

/// Sorts entries by name, then by place. @return one whose name an earlier one has, or nullptr.
template <class Entry>
const Entry* sort_by_name(std::span<Entry> entries) noexcept {
    heap_sort(entries, [](const Entry& a, const Entry& b) {
        return a.name != b.name ? a.name < b.name : a.where < b.where;
    });
    for (std::size_t i = 1; i < entries.size(); ++i)
        if (entries[i - 1].name == entries[i].name) return &entries[i];
    return nullptr;
}

/// The entry of that name among sorted ones, or nullptr.
template <class Entry>
const Entry* find_by_name(std::span<const Entry> sorted, std::string_view name) noexcept {
    while (!sorted.empty()) {
        const Entry& middle = sorted[sorted.size() / 2];
        if (middle.name == name) return &middle;
        sorted = middle.name < name ? sorted.subspan(sorted.size() / 2 + 1)
                                    : sorted.first(sorted.size() / 2);
    }
    return nullptr;
}

}  // namespace pare::io::inline PARE_ARCH_NAMESPACE

#endif  // PARE_IO_SORT_HPP
