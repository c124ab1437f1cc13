// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_TESTS_SUPPORT_LAYOUTS_HPP
#define PARE_TESTS_SUPPORT_LAYOUTS_HPP

#include "matrix.hpp"

#include <pare/core/random.hpp>
#include <pare/packed/n_m.hpp>
#include <pare/packed/pack_block.hpp>
#include <pare/packed/pack_hinm.hpp>
#include <pare/prune/hinm.hpp>
#include <pare/prune/n_m.hpp>
#include <pare/quant/scaled.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <numeric>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace pare::testing {

/// Stores whole numbers as they are, with a zero point of their own where codes have one, other
/// weights by absmax.
template <class T>
struct whole_or_absmax {
    using value_type = T;

    packed::grid fit(std::span<const float> weights) const noexcept {
        int sum = 0;
        for (const float w : weights) {
            if (w != static_cast<float>(static_cast<int>(w)))
                return quant::absmax{}.fit<T>(weights);
            sum += static_cast<int>(w);
        }
        return {1.0f, T::asymmetric ? sum % 4 : 0};
    }
};

/// Stores T, without loss where weights are small whole numbers (of codes but nf4).
template <class T>
using codec_for = std::conditional_t<packed::is_coded<T>, whole_or_absmax<T>, quant::cast<T>>;

/// The matrix that packed weights, or a layer of them, stand for.
matrix unpacked(const packed::weights auto& weights) {
    matrix dense(weights.view().rows, weights.view().cols);
    if (!packed::unpack(weights.view(), dense.view())) std::abort();
    return dense;
}

/// Packed weights, their memory, and the dense matrix that they stand for. Both arrays start at the
/// alignment of their elements and no better.
template <class Layout>
class packed_arrays {
    using T = typename Layout::element_type;

  public:
    using layout = Layout;

    const layout& view() const { return layout_; }
    const matrix& dense() const { return dense_; }
    std::span<const T> values() const { return std::span(values_).subspan(1); }
    std::span<const std::uint32_t> words() const { return std::span(words_).subspan(1); }
    /// The same over copies of values() and words().
    layout at(const T* values, const std::uint32_t* words) const {
        return layout_.over(values, words);
    }

  protected:
    /// pack(values, words) fills them.
    packed_arrays(const matrix& weights, std::size_t n_values, std::size_t n_words, auto&& pack)
        : dense_(weights.rows(), weights.cols()), values_(n_values + 1), words_(n_words + 1) {
        const result<layout> made =
            pack(std::span(values_).subspan(1), std::span(words_).subspan(1));
        if (!made || !packed::check(*made) || !packed::unpack(*made, dense_.view())) std::abort();
        layout_ = *made;
    }

  private:
    matrix dense_;
    std::vector<T> values_;
    std::vector<std::uint32_t> words_;
    layout layout_;
};

/// Pruned by a random saliency, so that every place of a group gets used.
template <int N, int M, class T>
class packed_matrix : public packed_arrays<packed::n_m<N, M, T>> {
  public:
    using layout = packed::n_m<N, M, T>;

    packed_matrix(const matrix& weights, std::uint64_t seed)
        : packed_arrays<layout>(
              weights, layout::n_values(weights.rows(), weights.cols()),
              layout::n_words(weights.rows(), weights.cols()), [&](auto values, auto words) {
                  bits kept(weights.rows(), weights.cols());
                  prune::n_m<N, M>{}.select(
                      matrix::uniform(weights.rows(), weights.cols(), seed).view(), kept.view());
                  return packed::pack<N, M>(weights.view(), kept.view(), codec_for<T>{}, values,
                                            words);
              }) {}

    static std::string name() { return std::to_string(N) + ":" + std::to_string(M); }
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

/// Likewise hinm, in any order. N of every group: where fewer are kept, a zero is stored for a
/// column that is not.
template <int N, int M, int V, class T>
class hinm_matrix : public packed_arrays<packed::hinm<N, M, T>> {
  public:
    using layout = packed::hinm<N, M, T>;

    hinm_matrix(const matrix& weights, std::uint64_t seed)
        : hinm_matrix(weights, seed, any_order(weights.rows(), weights.cols(), V, seed)) {}

    static std::string name() {
        return std::to_string(N) + ":" + std::to_string(M) + ":v" + std::to_string(V);
    }

  private:
    hinm_matrix(const matrix& weights, std::uint64_t seed, const prune::hinm_order& order)
        : packed_arrays<layout>(
              weights, layout::n_values(packed::shape_of(order)),
              layout::n_words(packed::shape_of(order)), [&](auto values, auto words) {
                  bits mask(weights.rows(), weights.cols());
                  prune::hinm<N, M, V>::select(
                      matrix::uniform(weights.rows(), weights.cols(), seed + 1).view(), order,
                      mask.view());
                  return packed::pack<N, M>(weights.view(), mask.view(), order, codec_for<T>{},
                                            values, words);
              }) {}
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
class block_matrix : public packed_arrays<packed::block<B, T>> {
  public:
    using layout = packed::block<B, T>;

    block_matrix(const matrix& weights, std::uint64_t seed)
        : block_matrix(weights, any_blocks(weights, seed)) {}

    static std::string name() { return "block:" + std::to_string(B); }

  private:
    static bits any_blocks(const matrix& weights, std::uint64_t seed) {
        bits mask(weights.rows(), weights.cols());
        select_any_blocks<B>(mask, seed % 2 != 0 ? 0.05 : 0.3, seed);
        return mask;
    }
    block_matrix(const matrix& weights, bits mask)
        : packed_arrays<layout>(weights, layout::n_values(*packed::shape_of<B>(mask.view())),
                                layout::n_words(*packed::shape_of<B>(mask.view())),
                                [&](auto values, auto words) {
                                    return packed::pack<B>(weights.view(), mask.view(),
                                                           codec_for<T>{}, values, words);
                                }) {}
};

}  // namespace pare::testing

#endif  // PARE_TESTS_SUPPORT_LAYOUTS_HPP
