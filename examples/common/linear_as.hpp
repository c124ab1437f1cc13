// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_COMMON_LINEAR_AS_HPP
#define PARE_EXAMPLES_COMMON_LINEAR_AS_HPP

#include "error.hpp"
#include "integer_inputs.hpp"
#include "linear.hpp"

#include <pare/io/compressed.hpp>
#include <pare/kernel/convolution.hpp>
#include <pare/kernel/gemm.hpp>
#include <pare/kernel/integer_products.hpp>
#include <pare/kernel/transpose.hpp>
#include <pare/prune/block.hpp>
#include <pare/prune/flex_hinm.hpp>
#include <pare/prune/greedy.hpp>
#include <pare/prune/gyro.hpp>
#include <pare/prune/optimal_brain.hpp>
#include <pare/prune/optimum.hpp>
#include <pare/prune/unaligned_block.hpp>
#include <pare/prune/v_n_m.hpp>
#include <pare/prune/wanda.hpp>
#include <pare/quant/scaled.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// The bodies of make_linear and open_linear for one stored type. Some stored types are instantiated
// in a file each, so that they compile side by side.

namespace tools {

/// The N:M patterns the tool is compiled for; fewer where weights are stored as codes.
template <bool Coded, class Visitor>
bool any_compiled_n_m(Visitor visit) {
    using namespace pare::prune;
    if constexpr (Coded)
        return visit(n_m<1, 4>{}) || visit(n_m<2, 4>{}) || visit(n_m<2, 8>{}) || visit(n_m<4, 8>{});
    else
        return visit(n_m<1, 2>{}) || visit(n_m<1, 4>{}) || visit(n_m<2, 4>{}) ||
               visit(n_m<1, 8>{}) || visit(n_m<2, 8>{}) || visit(n_m<4, 8>{}) ||
               visit(n_m<1, 16>{}) || visit(n_m<2, 16>{}) || visit(n_m<4, 16>{}) ||
               visit(n_m<8, 16>{});
}

/// And the hierarchical ones, for any vector sparsity.
template <bool Coded, class Visitor>
bool any_compiled_hinm(Visitor visit) {
    using namespace pare::prune;
    const auto any_tile = [&]<int N, int M>(n_m<N, M>) {
        return visit(hinm<N, M, 8>{}) || visit(hinm<N, M, 16>{}) || visit(hinm<N, M, 32>{}) ||
               visit(hinm<N, M, 64>{});
    };
    if constexpr (Coded) return any_tile(n_m<1, 4>{}) || any_tile(n_m<2, 4>{});
    else return any_tile(n_m<1, 4>{}) || any_tile(n_m<2, 4>{}) || any_tile(n_m<2, 8>{});
}

/// VENOM's and FlexHiNM's.
template <bool Coded, class Visitor>
bool any_compiled_v_n_m([[maybe_unused]] Visitor visit) {
    using namespace pare::prune;
    [[maybe_unused]] const auto any_tile = [&]<int N, int M>(n_m<N, M>) {
        return visit(v_n_m<16, N, M>{}) || visit(v_n_m<32, N, M>{}) || visit(v_n_m<64, N, M>{});
    };
    if constexpr (Coded) return false;
    else return any_tile(n_m<2, 8>{}) || any_tile(n_m<2, 16>{});
}
template <bool Coded, class Visitor>
bool any_compiled_flex_hinm([[maybe_unused]] Visitor visit) {
    using namespace pare::prune;
    if constexpr (Coded) return false;
    else
        return visit(flex_hinm<2, 4, 8>{}) || visit(flex_hinm<2, 4, 16>{}) ||
               visit(flex_hinm<2, 4, 32>{}) || visit(flex_hinm<2, 4, 64>{});
}

/// Blocks of R rows, all else about them chosen at run time: it is the rows that a packed layer
/// depends on. Blocks of `cols` columns are compiled for 1, 2 and 4.
template <int R>
struct chosen_blocks {
    static constexpr int block_rows = R;
    pattern_kind kind = pattern_kind::block;
    selection_kind selection = selection_kind::bed;
    int cols = 1;
    float sparsity = 0.0f;

    pare::status check() const noexcept {
        return visit([](const auto& pattern) { return pattern.check(); });
    }
    pare::status select(pare::matrix_view<const float> scores,
                        pare::prune::mask_view kept) const noexcept {
        return visit([&](const auto& pattern) {
            return pare::prune::detail::select(pattern, scores, kept);
        });
    }

  private:
    pare::status visit(auto&& use) const noexcept {
        using namespace pare::prune;
        if (kind == pattern_kind::block)
            return cols == 1   ? use(block<R>{sparsity})
                   : cols == 2 ? use(block<R, 2>{sparsity})
                               : use(block<R, 4>{sparsity});
        switch (selection) {
            case selection_kind::greedy:
                return use(unaligned_block<R, greedy>{sparsity});
            case selection_kind::optimum:
                return use(unaligned_block<R, optimum>{sparsity});
            case selection_kind::bed:
                break;
        }
        return use(unaligned_block<R>{sparsity});
    }
};
template <class Visitor>
bool any_compiled_blocks(Visitor visit) {
    return visit(chosen_blocks<4>{}) || visit(chosen_blocks<8>{}) || visit(chosen_blocks<16>{}) ||
           visit(chosen_blocks<32>{});
}

/// Whether a pattern is that of a recipe, but for what is chosen at run time; and its words.
template <int R>
bool is_of(chosen_blocks<R>, const recipe& r) {
    return R == r.block_rows && (r.block_cols == 1 || r.block_cols == 2 || r.block_cols == 4);
}
template <int R>
std::string text_of(chosen_blocks<R>) {
    const std::string rows = std::to_string(R);
    return "ubp:" + rows + " block:" + rows + "[x2|x4]";
}
template <int N, int M>
bool is_of(pare::prune::n_m<N, M>, const recipe& r) {
    return N == r.n && M == r.m;
}
template <int N, int M>
std::string text_of(pare::prune::n_m<N, M>) {
    return "nm:" + std::to_string(N) + ':' + std::to_string(M);
}
template <int N, int M, int V>
bool is_of(pare::prune::hinm<N, M, V>, const recipe& r) {
    return N == r.n && M == r.m && V == r.tile_rows;
}
template <int N, int M, int V>
std::string text_of(pare::prune::hinm<N, M, V>) {
    return "hinm:" + std::to_string(N) + ':' + std::to_string(M) + ":v" + std::to_string(V);
}
template <int V, int N, int M>
bool is_of(pare::prune::v_n_m<V, N, M>, const recipe& r) {
    return N == r.n && M == r.m && V == r.tile_rows;
}
template <int V, int N, int M>
std::string text_of(pare::prune::v_n_m<V, N, M>) {
    return "vnm:v" + std::to_string(V) + ':' + std::to_string(N) + ':' + std::to_string(M);
}
template <int N, int M, int V>
bool is_of(pare::prune::flex_hinm<N, M, V>, const recipe& r) {
    return N == r.n && M == r.m && V == r.tile_rows;
}
template <int N, int M, int V>
std::string text_of(pare::prune::flex_hinm<N, M, V>) {
    return "flex:" + std::to_string(N) + ':' + std::to_string(M) + ":v" + std::to_string(V);
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

/// A permutation chosen at run time.
struct chosen_permutation {
    permutation_kind kind;
    std::optional<double> seconds;

    template <pare::prune::ordered_pattern Pattern, pare::executor E = pare::serial,
              pare::prune::search_observer Observer = pare::prune::unobserved>
    pare::result<pare::prune::in_place::found> search(pare::matrix_view<const float> scores,
                                                      const Pattern& pattern, E&& run = {},
                                                      Observer&& observe = {}) const noexcept {
        if (kind == permutation_kind::in_place)
            return pare::prune::in_place{}.search(scores, pattern);
        pare::prune::gyro by{.outputs = kind != permutation_kind::gyro_inputs,
                             .inputs = kind != permutation_kind::gyro_outputs};
        if (seconds)
            by.deadline = std::chrono::nanoseconds(static_cast<std::int64_t>(1e9 * *seconds));
        auto found = by.search(scores, pattern, run, observe);
        if (!found) return found.error();
        return pare::prune::in_place::found{std::move(found->order)};
    }
};

/// Packed weights in memory that `owner` keeps.
template <class Layout>
class packed_linear final : public linear {
  public:
    packed_linear(const Layout& weights, pare::layer_report report,
                  std::shared_ptr<const void> owner)
        : weights_(weights), report_(report), owner_(std::move(owner)) {}

    void apply(pare::matrix_view<const float> x, pare::matrix_view<float> y,
               std::span<const float> bias, pare::thread_pool& run,
               activation_kind inputs) const override {
        if constexpr (pare::kernel::integer_weights<Layout>)
            if (inputs == activation_kind::i8 && multiplies_integers()) {
                const auto tokens = integer_inputs_.of(x, run);
                value_of(pare::gemm(weights_, tokens, y, run, {.bias = bias}), "a linear layer");
                return;
            }
        if (pare::packed::hinm_weights<Layout> && x.rows() > 1 && x.row_stride() != 1) {
            by_feature_.resize(x.rows() * x.cols());
            const auto copy =
                pare::matrix_view<float>(by_feature_.data(), x.cols(), x.rows()).transposed();
            value_of(pare::transpose(x, copy, run), "the input of a linear layer");
            x = copy;
        }
        value_of(pare::gemm(weights_, x, y, run, {.bias = bias}), "a linear layer");
    }
    void convolve(const pare::window& over, pare::maps<const float> x, pare::maps<float> y,
                  std::span<float> workspace, pare::thread_pool& run, const pare::epilogue& after,
                  activation_kind inputs) const override {
        if constexpr (pare::kernel::integer_weights<Layout>)
            if (inputs == activation_kind::i8 && multiplies_integers())
                return convolve_integers(over, x, y, run, after);
        value_of(pare::convolve(weights_, over, x, y, workspace, run, after), "a convolution");
    }
    bool multiplies_integers() const override {
        if constexpr (pare::kernel::integer_weights<Layout>)
            return pare::has_integer_kernel(weights_);
        else return false;
    }
    const pare::layer_report& report() const override { return report_; }
    void save(pare::io::safetensors_writer& out, const std::string& name) const override {
        value_of(out.add(name, weights_), name);
    }

  private:
    // By tiles of pixels, whose patches stay in a cache.
    void convolve_integers(const pare::window& over, pare::maps<const float> x, pare::maps<float> y,
                           pare::thread_pool& run, const pare::epilogue& after) const {
        constexpr std::size_t tile = 252;  // whole groups of the kernel's twelve tokens
        const std::size_t pixels = y.extent(0) * y.extent(2) * y.extent(3);
        const pare::matrix_view<float> out(y.data_handle(), y.extent(1), pixels, y.stride(1));
        for (std::size_t p = 0; p < pixels; p += tile) {
            const std::size_t n = pixels - p < tile ? pixels - p : tile;
            value_of(pare::gemm(weights_, integer_inputs_.of(over, x, p, n, run),
                                out.block(0, p, out.rows(), n).transposed(), run, after),
                     "a convolution");
        }
    }

    Layout weights_;
    pare::layer_report report_;
    std::shared_ptr<const void> owner_;
    mutable std::vector<float> by_feature_;  // the input, where the layer wants it so
    mutable integer_inputs integer_inputs_;
};

/// A scale rule chosen at run time.
struct chosen_rule {
    rule_kind kind;
    float percentile;

    template <class T>
    pare::packed::grid fit(std::span<const float> weights) const noexcept {
        switch (kind) {
            case rule_kind::mse:
                return pare::quant::mse{}.fit<T>(weights);
            case rule_kind::percentile:
                return pare::quant::percentile{percentile}.fit<T>(weights);
            case rule_kind::absmax:
                break;
        }
        return pare::quant::absmax{}.fit<T>(weights);
    }
};
template <class T>
struct chosen_codec : pare::quant::cast<T> {
    bool compensates;

    explicit chosen_codec(const recipe& r) : compensates(r.gptq) {}
};
template <class T>
    requires(pare::packed::is_coded<T>)
struct chosen_codec<T> {
    using value_type = T;
    chosen_rule rule;
    bool compensates;

    explicit chosen_codec(const recipe& r) : rule{r.rule, r.percentile}, compensates(r.gptq) {}
    pare::packed::grid fit(std::span<const float> weights) const noexcept {
        return rule.fit<T>(weights);
    }
};

template <class T>
std::unique_ptr<linear> make_linear_as(pare::matrix_view<const float> weights, const recipe& r,
                                       const pare::prune::calibration& inputs,
                                       pare::thread_pool& run) {
    constexpr bool coded = pare::packed::is_coded<T>;
    std::unique_ptr<linear> made;
    const auto compress = [&](auto pattern, auto... permutation) {
        const pare::recipe recipe{chosen_saliency{r.saliency}, pattern, chosen_codec<T>(r),
                                  permutation...};
        auto layer =
            value_of(pare::compress(weights, recipe, inputs, run), "recipe '" + r.text + "'");
        const auto owner = std::make_shared<decltype(layer)>(std::move(layer));
        made = std::make_unique<packed_linear<pare::packed::layout_of<decltype(layer)>>>(
            owner->view(), owner->report(), owner);
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
            any_compiled_n_m<coded>(
                [&](auto pattern) { return is_of(pattern, r) && compress(pattern); });
            break;
        case pattern_kind::hinm:
            any_compiled_hinm<coded>([&](auto pattern) {
                pattern.vector_sparsity = r.sparsity;
                return is_of(pattern, r) &&
                       compress(pattern, chosen_permutation{r.permutation, r.search_seconds});
            });
            break;
        case pattern_kind::v_n_m:
            any_compiled_v_n_m<coded>(
                [&](auto pattern) { return is_of(pattern, r) && compress(pattern); });
            break;
        case pattern_kind::flex_hinm:
            any_compiled_flex_hinm<coded>([&](auto pattern) {
                pattern.sparsity = r.sparsity;
                return is_of(pattern, r) && compress(pattern);
            });
            break;
        case pattern_kind::block:
        case pattern_kind::unaligned_block:
            any_compiled_blocks([&](auto pattern) {
                pattern.kind = r.pattern;
                pattern.selection = r.selection;
                pattern.cols = r.block_cols;
                pattern.sparsity = r.sparsity;
                return is_of(pattern, r) && compress(pattern);
            });
            break;
    }
    return made;
}

/// Null when the layer has another format than those compiled in.
template <class T>
std::unique_ptr<linear> open_linear_as(
    const std::shared_ptr<const pare::io::safetensors_reader>& file, const std::string& name,
    pare::layer_report report) {
    std::unique_ptr<linear> opened;
    const auto open = [&](auto pattern) {
        using layout = pare::layout_for<decltype(pattern), chosen_codec<T>>;
        const auto weights = pare::io::load<layout>(*file, name);
        if (!weights && weights.error().code == pare::errc::wrong_type) return false;
        const layout w = value_of(weights, name);
        report.bytes = w.required_bytes();
        report.bits_per_weight = static_cast<double>(report.bytes) * 8.0 /
                                 (static_cast<double>(w.rows) * static_cast<double>(w.cols));
        opened = std::make_unique<packed_linear<layout>>(w, report, file);
        return true;
    };
    constexpr bool coded = pare::packed::is_coded<T>;
    open(pare::prune::dense{}) || any_compiled_n_m<coded>(open) || any_compiled_hinm<coded>(open) ||
        any_compiled_v_n_m<coded>(open) || any_compiled_flex_hinm<coded>(open) ||
        any_compiled_blocks(open);
    return opened;
}

/// A stored type as run-time values.
struct stored_type {
    std::string_view name;  ///< in files
    codec_kind codec;
    std::size_t group;
    bool asymmetric;
    decltype(&make_linear_as<float>) make;
    decltype(&open_linear_as<float>) open;
};

template <class T>
stored_type stored_as(codec_kind codec) {
    stored_type type{
        pare::packed::storage_name<T>(), codec, 0, false, &make_linear_as<T>, &open_linear_as<T>};
    if constexpr (pare::packed::is_coded<T>) type.group = T::group, type.asymmetric = T::asymmetric;
    return type;
}

std::vector<stored_type> stored_as_f32();
std::vector<stored_type> stored_as_f16();
std::vector<stored_type> stored_as_bf16();
std::vector<stored_type> stored_as_i8();
std::vector<stored_type> stored_as_i4();
std::vector<stored_type> stored_as_i4_with_zeros();
std::vector<stored_type> stored_as_other_codes();

}  // namespace tools

#endif  // PARE_EXAMPLES_COMMON_LINEAR_AS_HPP
