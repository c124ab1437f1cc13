// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_COMPRESS_HPP
#define PARE_COMPRESS_HPP

#include "core/buffer.hpp"
#include "core/executor.hpp"
#include "packed/n_m.hpp"
#include "packed/pack_block.hpp"
#include "packed/pack_hinm.hpp"
#include "prune/dense.hpp"
#include "prune/in_place.hpp"
#include "prune/magnitude.hpp"
#include "prune/n_m.hpp"
#include "prune/permutation_plan.hpp"
#include "prune/prune.hpp"
#include "prune/search_limit.hpp"
#include "prune/unstructured.hpp"
#include "quant/cast.hpp"
#include "quant/gptq.hpp"

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

namespace pare {

/// How a layer is compressed: one policy per axis, composed at compile time. The types are deduced
/// from recipe{wanda{}, hinm<2, 4, 32>{}, cast<f16>{}, gyro{}}; with designated initialisers too,
/// except by clang before 17.
template <class Saliency = prune::magnitude, class Pattern = prune::dense,
          class Codec = quant::cast<float>, class Permutation = prune::in_place>
struct recipe {
    static_assert(prune::saliency<Saliency>,
                  "recipe: .saliency needs score(weights, calibration, scores) const noexcept");
    static_assert(prune::pattern<Pattern>,
                  "recipe: .pattern needs select(scores, mask) and check(), both const noexcept");
    static_assert(quant::codec<Codec>,
                  "recipe: .codec needs value_type and encode(float) noexcept, or fit(weights)");
    static_assert(std::is_same_v<Permutation, prune::in_place> ||
                      prune::permutation_of<Permutation, Pattern>,
                  "recipe: .permutation searches an order, which this .pattern does not have");

    Saliency saliency{};
    Pattern pattern{};
    Codec codec{};
    Permutation permutation{};
};

template <class Saliency, class Pattern>
recipe(Saliency, Pattern) -> recipe<Saliency, Pattern>;
template <class Saliency, class Pattern, class Codec>
recipe(Saliency, Pattern, Codec) -> recipe<Saliency, Pattern, Codec>;
template <class Saliency, class Pattern, class Codec, class Permutation>
recipe(Saliency, Pattern, Codec, Permutation) -> recipe<Saliency, Pattern, Codec, Permutation>;

/// What compressing a layer did to it.
struct layer_report {
    std::size_t bytes = 0;         ///< packed values and indices, padding included
    double bits_per_weight = 0.0;  ///< of the dense matrix's weights
    double sparsity = 0.0;         ///< fraction of weights pruned by the mask
    double retained = 1.0;         ///< saliency kept / total saliency
    double saliency = 0.0;         ///< that total; 0 where nobody has counted it
};

inline namespace PARE_ARCH_NAMESPACE {

/// Packed weights and the memory they lie in. Moved from, it is the empty layer.
template <packed::layout Layout>
class layer {
  public:
    using layout_type = Layout;
    using element_type = typename Layout::element_type;

    layer(Layout layout, buffer<element_type> values, buffer<std::uint32_t> words,
          layer_report report) noexcept
        : layout_(layout), values_(std::move(values)), words_(std::move(words)), report_(report) {}
    layer(layer&& other) noexcept
        : layout_(std::exchange(other.layout_, {})), values_(std::move(other.values_)),
          words_(std::move(other.words_)), report_(std::exchange(other.report_, {})) {}
    layer& operator=(layer&& other) noexcept {
        layout_ = std::exchange(other.layout_, {});
        values_ = std::move(other.values_);
        words_ = std::move(other.words_);
        report_ = std::exchange(other.report_, {});
        return *this;
    }

    const Layout& view() const noexcept { return layout_; }
    const layer_report& report() const noexcept { return report_; }

    /// The place of a layer in a model by a plan that knows it by `number`: its outputs stay in the
    /// order of its tiles or go where they belong, its columns are found where the layer before it
    /// leaves them. Once per layer. What is kept per output, plan.permute() brings in order.
    void follow(const prune::permutation_plan& plan,
                std::size_t number) noexcept requires packed::hinm_weights<Layout> {
        layout_.in_place = plan.stays(number);
        if (layout_.in_place) layout_.outputs = nullptr;
        std::uint32_t* words = words_.data() + (layout_.columns - layout_.indices);
        for (std::size_t t = 0; t < layout_.n_tiles(); ++t, words += layout_.column_words())
            for (std::size_t i = 0; i < layout_.kept; ++i) {
                auto column = static_cast<std::uint32_t>(layout_.tile_column(t, i));
                const std::uint32_t mask = 0xffffu << (i % 2 * 16);
                plan.renumber(number, {&column, 1});
                words[i / 2] = (words[i / 2] & ~mask) | column << (i % 2 * 16);
            }
    }

  private:
    Layout layout_;
    buffer<element_type> values_;
    buffer<std::uint32_t> words_;
    layer_report report_;
};

namespace detail {

// A mask that no layout is for, irregular or of blocks of another height, is stored dense, its
// zeros included.
template <class Pattern, class T>
constexpr auto layout_for() noexcept {
    if constexpr (prune::n_of_m_pattern<Pattern>) return packed::n_m<Pattern::n, Pattern::m, T>{};
    else if constexpr (prune::ordered_pattern<Pattern>)
        return packed::hinm<Pattern::kept_of_group, Pattern::group, T>{};
    else if constexpr (prune::block_pattern<Pattern>) {
        if constexpr (packed::is_block_height<Pattern::block_rows>)
            return packed::block<Pattern::block_rows, T>{};
        else return packed::dense<T>{};
    } else return packed::dense<T>{};
}

inline constexpr error no_memory{errc::out_of_memory,
                                 "compress: no memory for the layer and its scratch"};

}  // namespace detail

/// The layout that holds the weights a pattern keeps, as a codec stores them.
template <prune::pattern Pattern, quant::codec Codec>
using layout_for = decltype(detail::layout_for<Pattern, typename Codec::value_type>());

namespace detail {

/// A layer over memory of its own, which pack(values, words) fills.
template <class Layout>
result<layer<Layout>> make_layer(std::size_t n_values, std::size_t n_words, layer_report report,
                                 auto&& pack) noexcept {
    auto values = buffer<typename Layout::element_type>::make(n_values);
    auto words = buffer<std::uint32_t>::make(n_words);
    if (!values || !words) return no_memory;
    const result<Layout> packed = pack(values->span(), words->span());
    if (!packed) return packed.error();
    const double weights = static_cast<double>(packed->rows) * static_cast<double>(packed->cols);
    report.bytes = packed->required_bytes();
    report.bits_per_weight = static_cast<double>(report.bytes) * 8.0 / weights;
    return layer<Layout>(*packed, *std::move(values), *std::move(words), report);
}

}  // namespace detail

/// Prunes and packs one layer, weights (rows, cols) = (output channels, input features). Offline:
/// allocates the packed layer and scratch of 4 bytes and a bit per weight. A permutation searches
/// on `run` and is heard by `observe`.
/// @return the layer; not_a_number, shape_mismatch, missing_calibration, invalid_argument,
/// out_of_memory, or pattern_violated by a pattern that keeps what it does not say.
template <class Saliency, class Pattern, class Codec, class Permutation, executor Executor = serial,
          prune::search_observer Observer = prune::unobserved>
auto compress(matrix_view<const float> weights,
              const recipe<Saliency, Pattern, Codec, Permutation>& recipe,
              const prune::calibration& inputs, Executor&& run = {},
              Observer&& observe = {}) noexcept -> result<layer<layout_for<Pattern, Codec>>> {
    using layout = layout_for<Pattern, Codec>;
    const std::size_t rows = weights.rows(), cols = weights.cols();
    if (rows == 0 || cols == 0) return error{errc::shape_mismatch, "the weight matrix is empty"};
    if (rows > static_cast<std::size_t>(-1) / 256 / cols)
        return error{errc::out_of_memory, "the size of the weight matrix overflows"};
    if (auto ok = recipe.pattern.check(); !ok) return ok.error();
    if (prune::ordered_pattern<Pattern> && cols > packed::hinm_shape::max_cols)
        return error{errc::invalid_argument, "packed hinm has at most 65,536 columns"};

    auto memory = buffer<float>::make(rows * cols);
    auto mask = prune::mask::make(rows, cols);
    if (!memory || !mask) return detail::no_memory;
    const matrix_view<float> scores(memory->data(), rows, cols);
    const prune::mask_view kept = mask->view();
    if (auto ok = prune::score(weights, recipe.saliency, inputs, scores); !ok) return ok.error();
    // What the mask keeps of the weights, packed by pack(weights, values, words).
    const auto finish = [&](std::size_t n_values, std::size_t n_words, auto&& pack) {
        const double size = static_cast<double>(rows) * static_cast<double>(cols);
        const prune::saliency_sums sums = prune::sum_saliency(scores, kept);
        const layer_report report{.sparsity = 1.0 - static_cast<double>(kept.count()) / size,
                                  .retained = sums.share(),
                                  .saliency = sums.total};
        return detail::make_layer<layout>(
            n_values, n_words, report, [&](auto values, auto words) -> result<layout> {
                if constexpr (quant::compensating<Codec>)
                    if (recipe.codec.compensates)
                        return quant::compensated<layout>(
                            weights, kept, inputs.inverse_hessian_factor, scores, values, run,
                            [&](auto stored) { return pack(stored, values, words); });
                return pack(weights, values, words);
            });
    };
    if constexpr (prune::ordered_pattern<Pattern>) {
        const auto found = recipe.permutation.search(scores, recipe.pattern, run, observe);
        if (!found) return found.error();
        recipe.pattern.select(scores, found->order, kept);
        const packed::hinm_shape shape = packed::shape_of(found->order);
        return finish(layout::n_values(shape), layout::n_words(shape),
                      [&](auto stored, auto values, auto words) {
                          return packed::pack<Pattern::kept_of_group, Pattern::group>(
                              stored, kept, found->order, recipe.codec, values, words);
                      });
    } else {
        if (auto ok = prune::detail::select(recipe.pattern, scores, kept); !ok) return ok.error();
        if constexpr (packed::block_weights<layout>) {
            const auto shape = packed::shape_of<Pattern::block_rows>(kept);
            if (!shape) return shape.error();
            return finish(layout::n_values(*shape), layout::n_words(*shape),
                          [&](auto stored, auto values, auto words) {
                              return packed::pack<Pattern::block_rows>(stored, kept, recipe.codec,
                                                                       values, words);
                          });
        } else
            return finish(layout::n_values(rows, cols), layout::n_words(rows, cols),
                          [&](auto stored, auto values, auto words) {
                              return packed::pack<layout::n, layout::m>(stored, kept, recipe.codec,
                                                                        values, words);
                          });
    }
}

template <class Saliency, class Pattern, class Codec, class Permutation>
auto compress(matrix_view<const float> weights,
              const recipe<Saliency, Pattern, Codec, Permutation>& recipe) noexcept {
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
