// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PACKED_CONCEPTS_HPP
#define PARE_PACKED_CONCEPTS_HPP

#include "coded.hpp"

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

namespace pare::packed {

/// Output channels that every layout keeps side by side: one AVX-512 vector, two of AVX, four of
/// NEON or SSE.
inline constexpr std::size_t tile_rows = 16;

inline namespace PARE_ARCH_NAMESPACE {
namespace detail {

struct any_visit {
    void operator()(std::size_t column, auto weight) const noexcept;  // never defined
};

}  // namespace detail
}  // namespace PARE_ARCH_NAMESPACE

/// A packed weight matrix over memory that someone else owns: a small copyable description with
/// exact size arithmetic. for_each_weight(i, visit) calls visit(column, weight) for the stored
/// weights of the row output(i), in the order in which a product is summed; those of a coded type
/// are floats.
template <class L>
concept layout = std::is_trivially_copyable_v<L> && requires(const L& l, std::size_t i) {
    typename L::value_type;
    { l.rows } -> std::convertible_to<std::size_t>;
    { l.cols } -> std::convertible_to<std::size_t>;
    { l.required_bytes() } -> std::same_as<std::size_t>;
    { l.output(i) } -> std::same_as<std::size_t>;
    l.for_each_weight(i, detail::any_visit{});
    { l.view() } -> std::same_as<const L&>;
};

/// A layout, or something that owns the memory of one and gives it by `view()`.
template <class W>
concept weights = requires(const W& w) {
    requires layout<std::remove_cvref_t<decltype(w.view())>>;
};

/// The layout of `weights`.
template <weights W>
using layout_of = std::remove_cvref_t<decltype(std::declval<const W&>().view())>;

template <int N, int M, storage T>
struct n_m;
template <int N, int M, storage T>
struct hinm;
template <int B, storage T>
struct block;

inline namespace PARE_ARCH_NAMESPACE {
namespace detail {

template <int N, int M, storage T>
void stored_as_n_m(const n_m<N, M, T>&);  // never defined
template <int N, int M, storage T>
void stored_as_hinm(const hinm<N, M, T>&);  // never defined
template <int B, storage T>
void stored_as_block(const block<B, T>&);  // never defined

}  // namespace detail
}  // namespace PARE_ARCH_NAMESPACE

/// Weights stored as n_m, dense ones included.
template <class W>
concept n_m_weights = weights<W> && requires(const W& w) {
    detail::stored_as_n_m(w.view());
};

/// Weights stored as hinm.
template <class W>
concept hinm_weights = weights<W> && requires(const W& w) {
    detail::stored_as_hinm(w.view());
};

/// Weights stored as block.
template <class W>
concept block_weights = weights<W> && requires(const W& w) {
    detail::stored_as_block(w.view());
};

/// What the kernels and the files take.
template <class W>
concept known_weights = n_m_weights<W> || hinm_weights<W> || block_weights<W>;

}  // namespace pare::packed

#endif  // PARE_PACKED_CONCEPTS_HPP
