// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_ALLOCATE_MUTATION_HPP
#define PARE_ALLOCATE_MUTATION_HPP

#include "../core/random.hpp"
#include "concepts.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace pare::allocate::inline PARE_ARCH_NAMESPACE {

/// Levels on their way from a parent to a child within a budget. min of two draws of 1..3 layers go
/// up or down by a level; others are lowered until a raised one fits; and three times of four
/// what is left of the budget is spent.
class mutation {
  public:
    /// left: bytes of the budget that the levels leave
    mutation(const choices& of, std::span<level> levels, std::uint64_t left, random& draw) noexcept
        : of_(of), levels_(levels), left_(left), draw_(draw) {}

    /// @return the bytes that the child leaves; nothing where it does not fit
    std::optional<std::uint64_t> operator()() noexcept {
        std::uint64_t n = 1 + draw_.below(3), other = 1 + draw_.below(3);
        for (n = other < n ? other : n; n > 0; --n) {
            const std::size_t layer = draw_.below(levels_.size());
            const bool up = draw_.below(2) == 0;
            if (!up && levels_[layer] > 0) lower(layer);
            if (up && has_next(layer) && !raise(layer)) return std::nullopt;
        }
        if (draw_.below(4) != 0) spend();
        return left_;
    }

  private:
    bool has_next(std::size_t layer) const noexcept {
        return levels_[layer] + 1 < of_.bytes.cols() &&
               of_.bytes(layer, levels_[layer] + 1) <= of_.budget;
    }
    void lower(std::size_t layer) noexcept { left_ += step(of_, layer, --levels_[layer]); }

    /// Others are lowered until there is room. @return whether there could be
    bool raise(std::size_t layer) noexcept {
        const std::uint64_t bytes = step(of_, layer, levels_[layer]);
        while (bytes > left_) {
            const std::size_t other =
                pick([&](std::size_t l) { return l != layer && levels_[l] > 0; });
            if (other == levels_.size()) return false;
            lower(other);
        }
        left_ -= bytes;
        ++levels_[layer];
        return true;
    }
    /// Raises layers as long as one fits.
    void spend() noexcept {
        const auto fits = [&](std::size_t l) {
            return has_next(l) && step(of_, l, levels_[l]) <= left_;
        };
        for (std::size_t l = pick(fits); l != levels_.size(); l = pick(fits))
            left_ -= step(of_, l, levels_[l]++);
    }
    /// One of the layers that are eligible, each as likely as another; else the number of layers.
    std::size_t pick(auto&& eligible) noexcept {
        std::uint64_t n = 0;
        for (std::size_t l = 0; l < levels_.size(); ++l) n += eligible(l);
        if (n == 0) return levels_.size();
        std::uint64_t nth = draw_.below(n);
        std::size_t l = 0;
        for (;; ++l)
            if (eligible(l) && nth-- == 0) return l;
    }

    const choices& of_;
    std::span<level> levels_;
    std::uint64_t left_;
    random& draw_;
};

}  // namespace pare::allocate::inline PARE_ARCH_NAMESPACE

#endif  // PARE_ALLOCATE_MUTATION_HPP
