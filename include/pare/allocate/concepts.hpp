// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_ALLOCATE_CONCEPTS_HPP
#define PARE_ALLOCATE_CONCEPTS_HPP

#include "../core/dtype.hpp"
#include "../core/status.hpp"
#include "../core/tensor_view.hpp"

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

namespace pare::allocate {

/// How a layer is compressed: a number that the caller gives meaning to, a sparsity or bits. The
/// next level takes more bytes, or as many.
using level = std::uint32_t;

/// What layers cost and what may be spent on all of them.
struct choices {
    /// (layers, levels) of each layer at each level, ascending within a row. Levels that a layer
    /// lacks come last and cost more than the budget.
    matrix_view<const std::uint64_t> bytes;
    std::uint64_t budget;
};

/// What a search has come to.
struct outcome {
    double loss = 0.0;            ///< of the best levels so far, at full effort
    std::uint64_t bytes = 0;      ///< that they take
    std::size_t rounds = 0;       ///< generations, or steps
    std::size_t evaluations = 0;  ///< of the loss
};

/// What levels (layers) cost a model: smaller is better, its KL divergence from the dense one, say.
/// `effort` in (0, 1] is the share of the caller's data to measure on, and for one effort the loss
/// depends on the levels alone. A loss that is NaN or infinite counts as the largest double.
template <class F>
concept loss_function = requires(F& f, std::span<const level> levels, double effort) {
    { f(levels, effort) } -> std::convertible_to<double>;
};

/// Is told before each round what the search has come to; returns false to end it.
template <class F>
concept observer = requires(F& f, const outcome& o) {
    { f(o) } -> std::same_as<bool>;
};

inline namespace PARE_ARCH_NAMESPACE {

/// The bytes of the budget that levels leave. @return shape_mismatch; invalid_argument for bytes
/// that descend, a level that does not exist, or levels that exceed the budget
inline result<std::uint64_t> unspent(const choices& of, std::span<const level> levels) noexcept {
    if (levels.size() != of.bytes.rows())
        return error{errc::shape_mismatch, "one level per layer", levels.size()};
    std::uint64_t left = of.budget;
    for (std::size_t l = 0; l < levels.size(); ++l) {
        for (std::size_t k = 1; k < of.bytes.cols(); ++k)
            if (of.bytes(l, k) < of.bytes(l, k - 1))
                return error{errc::invalid_argument, "a layer's bytes descend", l};
        if (levels[l] >= of.bytes.cols())
            return error{errc::invalid_argument, "a layer has no such level", l};
        const std::uint64_t bytes = of.bytes(l, levels[l]);
        if (bytes > left)
            return error{errc::invalid_argument, "the start does not fit the budget", l};
        left -= bytes;
    }
    return left;
}

/// Bytes from level k of a layer to the next. @pre there is one
inline std::uint64_t step(const choices& of, std::size_t layer, std::size_t k) noexcept {
    return of.bytes(layer, k + 1) - of.bytes(layer, k);
}

/// The loss, counted and finite.
inline double measure(auto& loss, std::span<const level> levels, double effort, outcome& count) {
    ++count.evaluations;
    const double value = loss(levels, effort);
    return is_finite(value) ? value : std::numeric_limits<double>::max();
}

}  // namespace PARE_ARCH_NAMESPACE

}  // namespace pare::allocate

#endif  // PARE_ALLOCATE_CONCEPTS_HPP
