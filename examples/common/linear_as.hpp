// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_COMMON_LINEAR_AS_HPP
#define PARE_EXAMPLES_COMMON_LINEAR_AS_HPP

#include "error.hpp"
#include "linear.hpp"

#include <pare/kernel/gemm.hpp>
#include <pare/prune/optimal_brain.hpp>
#include <pare/prune/wanda.hpp>

#include <utility>

// The body of make_linear for one codec. Each codec is instantiated in a file of its own, so that
// they compile side by side.

namespace tools {

/// The N:M patterns the tool is compiled for.
template <class Visitor>
bool any_compiled_n_m(Visitor visit) {
    using namespace pare::prune;
    return visit(n_m<1, 2>{}) || visit(n_m<1, 4>{}) || visit(n_m<2, 4>{}) || visit(n_m<1, 8>{}) ||
           visit(n_m<2, 8>{}) || visit(n_m<4, 8>{}) || visit(n_m<1, 16>{}) || visit(n_m<2, 16>{}) ||
           visit(n_m<4, 16>{}) || visit(n_m<8, 16>{});
}

/// A saliency chosen at run time; it is not worth a copy of every packing function. The caller sees
/// to the calibration.
struct chosen_saliency {
    saliency_kind kind;

    void score(pare::matrix_view<const float> weights, const pare::prune::calibration& inputs,
               pare::matrix_view<float> scores) const noexcept {
        switch (kind) {
            case saliency_kind::magnitude:
                return pare::prune::magnitude{}.score(weights, inputs, scores);
            case saliency_kind::wanda:
                return pare::prune::wanda{}.score(weights, inputs, scores);
            case saliency_kind::optimal_brain:
                return pare::prune::optimal_brain{}.score(weights, inputs, scores);
        }
    }
};

template <class Layer>
class packed_linear final : public linear {
  public:
    explicit packed_linear(Layer layer) : layer_(std::move(layer)) {}

    void apply(pare::matrix_view<const float> x, pare::matrix_view<float> y,
               std::span<const float> bias, pare::thread_pool& run) const override {
        value_of(pare::gemm(layer_, x, y, run, {.bias = bias}), "a linear layer");
    }
    const pare::layer_report& report() const override { return layer_.report(); }

  private:
    Layer layer_;
};

template <class T>
std::unique_ptr<linear> make_linear_as(pare::matrix_view<const float> weights, const recipe& r,
                                       const pare::prune::calibration& inputs) {
    std::unique_ptr<linear> made;
    const auto compress = [&](auto pattern) {
        auto layer = value_of(
            pare::compress(
                weights, pare::recipe{chosen_saliency{r.saliency}, pattern, pare::quant::cast<T>{}},
                inputs),
            "recipe '" + r.text + "'");
        made = std::make_unique<packed_linear<decltype(layer)>>(std::move(layer));
        return true;
    };
    switch (r.pattern) {
        case pattern_kind::dense:
            compress(pare::prune::dense{});
            break;
        case pattern_kind::unstructured:
            compress(pare::prune::unstructured{.sparsity = r.sparsity});
            break;
        case pattern_kind::n_m:
            any_compiled_n_m([&](auto pattern) {
                return pattern.n == r.n && pattern.m == r.m && compress(pattern);
            });
            break;
    }
    return made;
}

extern template std::unique_ptr<linear> make_linear_as<float>(pare::matrix_view<const float>,
                                                              const recipe&,
                                                              const pare::prune::calibration&);
extern template std::unique_ptr<linear> make_linear_as<pare::f16>(pare::matrix_view<const float>,
                                                                  const recipe&,
                                                                  const pare::prune::calibration&);
extern template std::unique_ptr<linear> make_linear_as<pare::bf16>(pare::matrix_view<const float>,
                                                                   const recipe&,
                                                                   const pare::prune::calibration&);

}  // namespace tools

#endif  // PARE_EXAMPLES_COMMON_LINEAR_AS_HPP
