// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PRUNE_DISJOINT_SETS_HPP
#define PARE_PRUNE_DISJOINT_SETS_HPP

#include "../core/buffer.hpp"
#include "../core/status.hpp"

#include <cstddef>
#include <cstdint>
#include <utility>

namespace pare::prune::inline PARE_ARCH_NAMESPACE {

/// A partition of 0 .. n - 1 that only grows coarser (union-find). A set is known by its least
/// element.
class disjoint_sets {
  public:
    /// Each element alone. @return out_of_memory
    static result<disjoint_sets> make(std::size_t n) noexcept {
        auto parents = buffer<std::uint32_t>::make(n);
        if (!parents) return parents.error();
        disjoint_sets made;
        made.parents_ = *std::move(parents);
        for (std::uint32_t i = 0; i < n; ++i) made.parents_[i] = i;
        return made;
    }

    std::size_t size() const noexcept { return parents_.size(); }

    std::uint32_t least_of(std::uint32_t element) noexcept {
        while (parents_[element] != element)  // halving paths keeps them short
            element = parents_[element] = parents_[parents_[element]];
        return element;
    }

    void unite(std::uint32_t a, std::uint32_t b) noexcept {
        a = least_of(a);
        b = least_of(b);
        parents_[a < b ? b : a] = a < b ? a : b;
    }

  private:
    buffer<std::uint32_t> parents_;
};

}  // namespace pare::prune::inline PARE_ARCH_NAMESPACE

#endif  // PARE_PRUNE_DISJOINT_SETS_HPP
