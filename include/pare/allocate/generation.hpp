// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_ALLOCATE_GENERATION_HPP
#define PARE_ALLOCATE_GENERATION_HPP

#include "../core/buffer.hpp"
#include "mutation.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace pare::allocate::inline PARE_ARCH_NAMESPACE {

struct candidate {
    std::size_t child;   ///< where its levels are
    std::uint64_t left;  ///< bytes of the budget that they leave
    double loss;
};

/// Children of one parent, no two alike and none like it.
class generation {
  public:
    static result<generation> make(std::size_t n_layers, std::size_t most) noexcept {
        generation made;
        auto levels = buffer<level>::make(n_layers * most);
        auto alive = buffer<candidate>::make(most);
        if (!levels) return levels.error();
        if (!alive) return alive.error();
        made.n_layers_ = n_layers;
        made.levels_ = *std::move(levels);
        made.alive_ = *std::move(alive);
        return made;
    }

    std::span<candidate> alive() noexcept { return alive_.span().first(n_alive_); }
    std::span<level> levels(const candidate& c) noexcept { return child(c.child); }

    /// Tries eight times as often as there are children, for small models have few neighbours.
    void breed(const choices& of, std::span<const level> parent, std::uint64_t left,
               random& draw) noexcept {
        n_alive_ = 0;
        if (parent.empty()) return;
        for (std::size_t n = 8 * alive_.size(); n > 0 && n_alive_ < alive_.size(); --n) {
            const std::span<level> made = child(n_alive_);
            copy(parent, made);
            const auto leaves = mutation(of, made, left, draw)();
            if (!leaves || same(parent, made) || has(made)) continue;
            alive_[n_alive_] = {n_alive_, *leaves, 0.0};
            ++n_alive_;
        }
    }

    /// The best `n`, best first; of equal ones those that were before.
    void keep_best(std::size_t n) noexcept {
        for (std::size_t i = 1; i < n_alive_; ++i)
            for (std::size_t j = i; j > 0 && alive_[j].loss < alive_[j - 1].loss; --j)
                std::swap(alive_[j], alive_[j - 1]);
        n_alive_ = n < n_alive_ ? n : n_alive_;
    }

    static void copy(std::span<const level> from, std::span<level> to) noexcept {
        for (std::size_t l = 0; l < from.size(); ++l) to[l] = from[l];
    }

  private:
    static bool same(std::span<const level> a, std::span<const level> b) noexcept {
        for (std::size_t l = 0; l < a.size(); ++l)
            if (a[l] != b[l]) return false;
        return true;
    }
    bool has(std::span<const level> made) noexcept {
        for (const candidate& c : alive())
            if (same(levels(c), made)) return true;
        return false;
    }
    std::span<level> child(std::size_t i) noexcept {
        return levels_.span().subspan(i * n_layers_, n_layers_);
    }

    std::size_t n_layers_ = 0, n_alive_ = 0;
    buffer<level> levels_;  // (children, layers)
    buffer<candidate> alive_;
};

}  // namespace pare::allocate::inline PARE_ARCH_NAMESPACE

#endif  // PARE_ALLOCATE_GENERATION_HPP
