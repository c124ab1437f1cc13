// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_TESTS_SUPPORT_LAYOUTS_HPP
#define PARE_TESTS_SUPPORT_LAYOUTS_HPP

#include "matrix.hpp"

#include <pare/core/random.hpp>
#include <pare/packed/block.hpp>
#include <pare/packed/hinm.hpp>
#include <pare/packed/n_m.hpp>
#include <pare/prune/hinm.hpp>
#include <pare/prune/n_m.hpp>
#include <pare/quant/cast.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <numeric>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace pare::testing {

/// Packed weights, their memory, and the dense matrix that they stand for. Both arrays start at the
/// alignment of their elements and no better.
template <int N, int M, class T>
class packed_matrix {
  public:
    using layout = packed::n_m<N, M, T>;

    /// Prunes by a random saliency, so that every place of a group gets used.
    packed_matrix(const matrix& weights, std::uint64_t seed)
        : dense_(weights.rows(), weights.cols()),
          values_(layout::n_values(weights.rows(), weights.cols()) + 1),
          indices_(layout::n_indices(weights.rows(), weights.cols()) + 1) {
        bits kept(weights.rows(), weights.cols());
        prune::n_m<N, M>{}.select(matrix::uniform(weights.rows(), weights.cols(), seed).view(),
                                  kept.view());
        const auto made =
            packed::pack<N, M>(weights.view(), kept.view(), quant::cast<T>{},
                               std::span(values_).subspan(1), std::span(indices_).subspan(1));
        if (!made || !packed::unpack(*made, dense_.view())) std::abort();
        layout_ = *made;
    }

    static std::string name() { return std::to_string(N) + ":" + std::to_string(M); }
    const layout& view() const { return layout_; }
    const matrix& dense() const { return dense_; }

    std::span<const T> values() const { return std::span(values_).subspan(1); }
    std::span<const std::uint32_t> words() const { return std::span(indices_).subspan(1); }
    /// The same over copies of values() and words().
    layout at(const T* values, const std::uint32_t* words) const {
        return layout_.over(values, words);
    }

  private:
    matrix dense_;
    std::vector<T> values_;
    std::vector<std::uint32_t> indices_;
    layout layout_;
};

inline void shuffle(std::span<std::uint32_t> list, random& random) {
    for (std::size_t i = list.size(); i > 1; --i) std::swap(list[i - 1], list[random.below(i)]);
}

/// An order that keeps half of the columns or more, any of them in any order; of most seeds some
/// are dense, and rows move.
inline prune::hinm_order any_order(std::size_t rows, std::size_t cols, std::size_t tile_rows,
                                   std::uint64_t seed) {
    random random(seed);
    const std::size_t kept = cols - random.below(cols) / 2;
    auto order = *prune::hinm_order::make(rows, cols, tile_rows, kept, seed % 3 * kept / 4);
    if (seed % 4 != 0) shuffle(order.outputs(), random);
    std::vector<std::uint32_t> all(cols);
    std::iota(all.begin(), all.end(), 0u);
    for (std::size_t t = 0; t < order.n_tiles(); ++t) {
        shuffle(all, random);
        std::copy_n(all.begin(), kept, order.columns(t).begin());
    }
    return order;
}

/// A mask that fits the order: all dense columns, up to N of every M others.
template <int N, int M>
void select_any(const prune::hinm_order& order, bits& mask, std::uint64_t seed) {
    random random(seed);
    for (std::size_t t = 0; t < order.n_tiles(); ++t)
        for (const std::uint32_t r : order.outputs_of(t))
            for (std::size_t c = 0, room = 0; c < order.kept(); ++c) {
                const bool dense = c < order.dense();
                if (!dense && (c - order.dense()) % M == 0) room = N;
                if (!dense && (room == 0 || random.below(M) >= N)) continue;
                if (!dense) --room;
                mask.view().set(r, order.columns(t)[c], true);
            }
}

/// Likewise hinm, in any order.
template <int N, int M, int V, class T>
class hinm_matrix {
  public:
    using layout = packed::hinm<N, M, T>;

    hinm_matrix(const matrix& weights, std::uint64_t seed)
        : dense_(weights.rows(), weights.cols()) {
        const auto order = any_order(weights.rows(), weights.cols(), V, seed);
        bits mask(weights.rows(), weights.cols());
        // N of every group: where fewer are kept, a zero is stored for a column that is not.
        prune::hinm<N, M, V>::select(
            matrix::uniform(weights.rows(), weights.cols(), seed + 1).view(), order, mask.view());
        const packed::hinm_shape shape = packed::shape_of(order);
        values_.resize(layout::n_values(shape) + 1);
        words_.resize(layout::n_words(shape) + 1);
        const auto made =
            packed::pack<N, M>(weights.view(), mask.view(), order, quant::cast<T>{},
                               std::span(values_).subspan(1), std::span(words_).subspan(1));
        if (!made || !packed::check(*made) || !packed::unpack(*made, dense_.view())) std::abort();
        layout_ = *made;
    }

    static std::string name() {
        return std::to_string(N) + ":" + std::to_string(M) + ":v" + std::to_string(V);
    }
    const layout& view() const { return layout_; }
    const matrix& dense() const { return dense_; }

    std::span<const T> values() const { return std::span(values_).subspan(1); }
    std::span<const std::uint32_t> words() const { return std::span(words_).subspan(1); }
    layout at(const T* values, const std::uint32_t* words) const {
        return layout_.over(values, words);
    }

  private:
    matrix dense_;
    std::vector<T> values_;
    std::vector<std::uint32_t> words_;
    layout layout_;
};

/// Keeps blocks of B rows at random places, most of the room that there is for it at density 1. In
/// some columns the last one is cut short by the last row.
template <int B>
void select_any_blocks(bits& mask, double density, std::uint64_t seed) {
    random random(seed);
    for (std::size_t c = 0; c < mask.view().cols(); ++c) {
        const bool cut = random.below(2) != 0;
        for (std::size_t r = 0; r < mask.view().rows();) {
            const bool fits = r + B <= mask.view().rows() || cut;
            if (!fits || static_cast<double>(random.below(1000)) >= 1000.0 * density) {
                ++r;
                continue;
            }
            for (int i = 0; i < B && r < mask.view().rows(); ++i) mask.view().set(r++, c, true);
        }
    }
}

/// Likewise blocks.
template <int B, class T>
class block_matrix {
  public:
    using layout = packed::block<B, T>;

    block_matrix(const matrix& weights, std::uint64_t seed)
        : dense_(weights.rows(), weights.cols()) {
        bits mask(weights.rows(), weights.cols());
        select_any_blocks<B>(mask, seed % 2 != 0 ? 0.05 : 0.3, seed);
        const auto shape = packed::shape_of<B>(mask.view());
        if (!shape) std::abort();
        values_.resize(layout::n_values(*shape) + 1);
        words_.resize(layout::n_words(*shape) + 1);
        const auto made =
            packed::pack<B>(weights.view(), mask.view(), quant::cast<T>{},
                            std::span(values_).subspan(1), std::span(words_).subspan(1));
        if (!made || !packed::check(*made) || !packed::unpack(*made, dense_.view())) std::abort();
        layout_ = *made;
    }

    static std::string name() { return "block:" + std::to_string(B); }
    const layout& view() const { return layout_; }
    const matrix& dense() const { return dense_; }

    std::span<const T> values() const { return std::span(values_).subspan(1); }
    std::span<const std::uint32_t> words() const { return std::span(words_).subspan(1); }
    layout at(const T* values, const std::uint32_t* words) const {
        return layout_.over(values, words);
    }

  private:
    matrix dense_;
    std::vector<T> values_;
    std::vector<std::uint32_t> words_;
    layout layout_;
};

}  // namespace pare::testing

#endif  // PARE_TESTS_SUPPORT_LAYOUTS_HPP
