// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_TESTS_SUPPORT_LAYOUTS_HPP
#define PARE_TESTS_SUPPORT_LAYOUTS_HPP

#include "matrix.hpp"

#include <pare/packed/n_m.hpp>
#include <pare/prune/n_m.hpp>
#include <pare/quant/cast.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
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

    const layout& view() const { return layout_; }
    const matrix& dense() const { return dense_; }

  private:
    matrix dense_;
    std::vector<T> values_;
    std::vector<std::uint32_t> indices_;
    layout layout_;
};

}  // namespace pare::testing

#endif  // PARE_TESTS_SUPPORT_LAYOUTS_HPP
