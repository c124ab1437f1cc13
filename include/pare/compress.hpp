// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_COMPRESS_HPP
#define PARE_COMPRESS_HPP

#include "core/buffer.hpp"
#include "packed/n_m.hpp"
#include "prune/dense.hpp"
#include "prune/magnitude.hpp"
#include "prune/n_m.hpp"
#include "prune/prune.hpp"
#include "prune/unstructured.hpp"
#include "quant/cast.hpp"

#include <cstddef>
#include <cstdint>
#include <utility>

namespace pare {

/// How a layer is compressed: one policy per axis, composed at compile time. The types are deduced
/// from recipe{wanda{}, n_m<2, 4>{}, cast<f16>{}}; with designated initialisers too, except by
/// clang before 17.
template <class Saliency = prune::magnitude, class Pattern = prune::dense,
          class Codec = quant::cast<float>>
struct recipe {
    static_assert(prune::saliency<Saliency>,
                  "recipe: .saliency needs score(weights, calibration, scores) const noexcept");
    static_assert(prune::pattern<Pattern>,
                  "recipe: .pattern needs select(scores, mask) and check(), both const noexcept");
    static_assert(quant::codec<Codec>,
                  "recipe: .codec needs value_type and encode(float) noexcept");

    Saliency saliency{};
    Pattern pattern{};
    Codec codec{};
};

template <class Saliency, class Pattern>
recipe(Saliency, Pattern) -> recipe<Saliency, Pattern>;
template <class Saliency, class Pattern, class Codec>
recipe(Saliency, Pattern, Codec) -> recipe<Saliency, Pattern, Codec>;

/// What compressing a layer did to it.
struct layer_report {
    std::size_t bytes = 0;         ///< packed values and indices, padding included
    double bits_per_weight = 0.0;  ///< of the dense matrix's weights
    double sparsity = 0.0;         ///< fraction of weights pruned by the mask
    double retained = 1.0;         ///< saliency kept / total saliency
};

inline namespace PARE_ARCH_NAMESPACE {

/// Packed weights and the memory they lie in. Moved from, it is the empty layer.
template <packed::layout Layout>
class layer {
  public:
    using layout_type = Layout;
    using value_type = typename Layout::value_type;

    layer(Layout layout, buffer<value_type> values, buffer<std::uint32_t> indices,
          layer_report report) noexcept
        : layout_(layout), values_(std::move(values)), indices_(std::move(indices)),
          report_(report) {}
    layer(layer&& other) noexcept
        : layout_(std::exchange(other.layout_, {})), values_(std::move(other.values_)),
          indices_(std::move(other.indices_)), report_(std::exchange(other.report_, {})) {}
    layer& operator=(layer&& other) noexcept {
        layout_ = std::exchange(other.layout_, {});
        values_ = std::move(other.values_);
        indices_ = std::move(other.indices_);
        report_ = std::exchange(other.report_, {});
        return *this;
    }

    const Layout& view() const noexcept { return layout_; }
    const layer_report& report() const noexcept { return report_; }

  private:
    Layout layout_;
    buffer<value_type> values_;
    buffer<std::uint32_t> indices_;
    layer_report report_;
};

namespace detail {

// An irregular mask has no layout that a CPU runs faster than dense, so it is stored dense, its
// zeros included.
template <class Pattern, class T>
constexpr auto layout_for() noexcept {
    if constexpr (prune::n_of_m_pattern<Pattern>) return packed::n_m<Pattern::n, Pattern::m, T>{};
    else return packed::dense<T>{};
}

}  // namespace detail

/// The layout that holds the weights a pattern keeps, as a codec stores them.
template <prune::pattern Pattern, quant::codec Codec>
using layout_for = decltype(detail::layout_for<Pattern, typename Codec::value_type>());

/// Prunes and packs one layer, weights (rows, cols) = (output channels, input features). Offline:
/// allocates the packed layer and scratch of 4 bytes and a bit per weight.
/// @return the layer; not_a_number, shape_mismatch, missing_calibration, invalid_argument,
/// out_of_memory, or pattern_violated by a pattern that keeps more than its n of m.
template <class Saliency, class Pattern, class Codec>
auto compress(matrix_view<const float> weights, const recipe<Saliency, Pattern, Codec>& recipe,
              const prune::calibration& inputs) noexcept
    -> result<layer<layout_for<Pattern, Codec>>> {
    using layout = layout_for<Pattern, Codec>;
    const std::size_t rows = weights.rows(), cols = weights.cols();
    if (rows == 0 || cols == 0) return error{errc::shape_mismatch, "the weight matrix is empty"};
    if (rows > static_cast<std::size_t>(-1) / 256 / cols)
        return error{errc::out_of_memory, "the size of the weight matrix overflows"};

    auto scores = buffer<float>::make(rows * cols);
    auto kept = prune::mask::make(rows, cols);
    auto values = buffer<typename Codec::value_type>::make(layout::n_values(rows, cols));
    auto indices = buffer<std::uint32_t>::make(layout::n_indices(rows, cols));
    if (!scores || !kept || !values || !indices)
        return error{errc::out_of_memory, "compress: no memory for the layer and its scratch"};

    auto retained = prune::prune(weights, recipe.saliency, recipe.pattern, inputs,
                                 matrix_view<float>(scores->data(), rows, cols), kept->view());
    if (!retained) return retained.error();
    auto packed = packed::pack<layout::n, layout::m>(weights, std::as_const(*kept).view(),
                                                     recipe.codec, values->span(), indices->span());
    if (!packed) return packed.error();

    const double size = static_cast<double>(rows) * static_cast<double>(cols);
    const std::size_t bytes = layout::required_bytes(rows, cols);
    const layer_report report{bytes, static_cast<double>(bytes) * 8.0 / size,
                              1.0 - static_cast<double>(kept->view().count()) / size, *retained};
    return layer<layout>(*packed, *std::move(values), *std::move(indices), report);
}

template <class Saliency, class Pattern, class Codec>
auto compress(matrix_view<const float> weights,
              const recipe<Saliency, Pattern, Codec>& recipe) noexcept {
    static_assert(!prune::needs_calibration<Saliency>,
                  "this saliency needs calibration: compress(weights, recipe, calibration)");
    return compress(weights, recipe, prune::calibration{});
}

/// By magnitude.
template <prune::pattern Pattern, quant::codec Codec = quant::cast<float>>
auto compress(matrix_view<const float> weights, const Pattern& pattern,
              const Codec& codec = {}) noexcept {
    return compress(weights, recipe<prune::magnitude, Pattern, Codec>{{}, pattern, codec});
}

}  // namespace PARE_ARCH_NAMESPACE

}  // namespace pare

#endif  // PARE_COMPRESS_HPP
