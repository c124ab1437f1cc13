// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PRUNE_CONCEPTS_HPP
#define PARE_PRUNE_CONCEPTS_HPP

#include "../core/tensor_view.hpp"
#include "hinm_order.hpp"
#include "mask.hpp"

#include <concepts>
#include <cstddef>
#include <span>

namespace pare::prune {

/// What is known of a layer from running the dense model on calibration tokens. A saliency reads
/// the part it declares a need for; the rest may stay empty.
struct calibration {
    /// (cols) L2 norm of each input feature over all tokens.
    std::span<const float> input_norms{};
    /// (cols) diagonal of the inverse of H = X^T X + damping, X (tokens, cols).
    std::span<const float> inverse_hessian_diagonal{};
    /// (rows, cols) gradient of a loss by each weight, mean over the tokens.
    matrix_view<const float> gradients{};
    /// (cols, cols) the upper triangle U, rows consecutive, of U^T U = the inverse of that H.
    matrix_view<const float> inverse_hessian_factor{};
};

/// What select() of a pattern returns: nothing, or a status where it needs memory.
template <class T>
concept selection_outcome = std::same_as<T, void> || std::same_as<T, status>;

// Version 14 does not know noexcept in a requirement:
// clang-format off

/// Gives every weight its importance: scores(r, c) >= 0, higher means keep. weights and scores have
/// the same shape, rows = output channels. A saliency that reads `input_norms`,
/// `inverse_hessian_diagonal` or `gradients` says so by `static constexpr bool needs_input_norms =
/// true` (`needs_inverse_hessian`, `needs_gradients`), and is then only called with that filled.
template <class S>
concept saliency = std::copyable<S> &&
    requires(const S& s, matrix_view<const float> weights, const calibration& inputs,
             matrix_view<float> scores) {
        { s.score(weights, inputs, scores) } noexcept;
    };

template <class S>
concept needs_input_norms = saliency<S> && requires { requires S::needs_input_norms; };

template <class S>
concept needs_inverse_hessian = saliency<S> && requires { requires S::needs_inverse_hessian; };

template <class S>
concept needs_gradients = saliency<S> && requires { requires S::needs_gradients; };

template <class S>
concept needs_calibration = needs_input_norms<S> || needs_inverse_hessian<S> || needs_gradients<S>;

/// Decides which weights stay: writes every bit of the mask from finite scores of the same shape.
/// Of equal scores the first in row-major order stays. `check()` refuses hyper-parameters outside
/// their range.
template <class P>
concept pattern = std::copyable<P> &&
    requires(const P& p, matrix_view<const float> scores, mask_view kept) {
        { p.select(scores, kept) } noexcept -> selection_outcome;
        { p.check() } noexcept -> std::same_as<status>;
    };

// clang-format on

/// A pattern that keeps at most n of every m consecutive columns says so by `static constexpr int`
/// n and m, 1 <= n <= m <= 32; its weights are then stored N:M.
template <class P>
concept n_of_m_pattern = pattern<P> && requires {
    { &P::n } -> std::same_as<const int*>;
    { &P::m } -> std::same_as<const int*>;
};

/// A pattern whose columns keep disjoint blocks of `block_rows` consecutive rows, of which only one
/// that the end of the matrix cuts is shorter. Stored as packed::block where that has such a
/// height, else dense, as weights of a pattern that says nothing are.
template <class P>
concept block_pattern = pattern<P> && requires {
    { &P::block_rows } -> std::same_as<const int*>;
};

// clang-format off

/// Chooses blocks that may begin at any row. A `column`, made by make(rows, block_rows), places
/// gains.size() disjoint blocks in the scores >= 0 of one column, or as many as it finds room for;
/// writes what each adds to the score, which never rises but for rounding; returns how many; and
/// then says of each row whether it is in one.
template <class S>
concept block_selection =
    requires(typename S::column& column, std::span<const float> scores, std::span<double> gains) {
        { S::column::make(scores.size(), gains.size()) } noexcept
            -> std::same_as<result<typename S::column>>;
        { column.place(scores, gains) } noexcept -> std::same_as<std::size_t>;
        { column.keeps(scores.size()) } noexcept -> std::same_as<bool>;
    };

/// A pattern of tiles that share columns, which are N:M in an order that may be searched for: N =
/// kept_of_group of M = group. make_order(scores) is its order without a search. Its weights are
/// stored as hinm.
template <class P>
concept ordered_pattern = pattern<P> &&
    requires(const P& p, matrix_view<const float> scores, const hinm_order& order, mask_view kept) {
        { &P::kept_of_group } -> std::same_as<const int*>;
        { &P::group } -> std::same_as<const int*>;
        { p.make_order(scores) } noexcept -> std::same_as<result<hinm_order>>;
        { p.select(scores, order, kept) } noexcept;
    };

/// Finds an order in which a pattern keeps more.
template <class S, class P>
concept permutation_of = ordered_pattern<P> && std::copyable<S> &&
    requires(const S& s, matrix_view<const float> scores, const P& pattern) {
        { s.search(scores, pattern)->order } -> std::convertible_to<const hinm_order&>;
    };

// clang-format on

}  // namespace pare::prune

#endif  // PARE_PRUNE_CONCEPTS_HPP
