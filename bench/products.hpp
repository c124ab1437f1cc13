// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_BENCH_PRODUCTS_HPP
#define PARE_BENCH_PRODUCTS_HPP

#include "harness.hpp"
#include <pare/core/random.hpp>
#include <pare/pare.hpp>

#include <algorithm>
#include <cstdint>
#include <optional>

namespace bench {

/// The two arrays of a layer.
template <int N, int M, class T>
auto arrays(const pare::packed::n_m<N, M, T>& w) {
    return std::pair(std::span(w.values, w.n_values(w.rows, w.cols)),
                     std::span(w.indices, w.n_words(w.rows, w.cols)));
}
template <int N, int M, class T>
auto arrays(const pare::packed::hinm<N, M, T>& w) {
    return std::pair(std::span(w.values, w.n_values(w)), std::span(w.indices, w.n_words(w)));
}
template <int B, class T>
auto arrays(const pare::packed::block<B, T>& w) {
    return std::pair(std::span(w.values, w.n_values(w)), std::span(w.starts, w.n_words(w)));
}
/// In place of a search, which would take longer: any order costs a kernel the same.
struct any_order {
    template <class Pattern>
    auto search(pare::matrix_view<const float> scores, const Pattern& pattern,
                const auto&... searching) const noexcept {
        auto found = pare::prune::in_place{}.search(scores, pattern, searching...);
        pare::random draw(1);
        const auto shuffle = [&](std::span<std::uint32_t> list) {
            for (std::size_t i = list.size(); i > 1; --i)
                std::swap(list[i - 1], list[draw.below(i)]);
        };
        if (!found) return found;
        shuffle(found->order.outputs());
        for (std::size_t t = 0; t < found->order.n_tiles(); ++t) shuffle(found->order.columns(t));
        return found;
    }
};

/// In place of a selection, which takes seconds too: as many blocks in every column, or one less,
/// at random rows.
template <int B>
struct any_blocks {
    static constexpr int block_rows = B;
    float sparsity;

    pare::status check() const noexcept { return {}; }
    void select(pare::matrix_view<const float> scores, pare::prune::mask_view kept) const noexcept {
        const std::size_t rows = scores.rows();
        const double share = static_cast<double>(rows) * (1.0 - static_cast<double>(sparsity)) / B;
        const auto before = [&](std::size_t c) {
            return static_cast<std::size_t>(share * static_cast<double>(c));
        };
        pare::random draw(1);
        for (std::size_t c = 0; c < scores.cols(); ++c) {
            std::size_t left = std::min(before(c + 1) - before(c), rows / B);
            for (std::size_t r = 0, places = rows - left * (B - 1); r < rows; --places) {
                const bool begins = draw.below(places) < left;  // `left` of the places begin one
                for (std::size_t i = 0; i < (begins ? B : 1); ++i) kept.set(r++, c, begins);
                left -= begins;
            }
        }
    }
};

/// Weights that a layout stores.
std::size_t n_stored(const pare::packed::layout auto& w) {
    std::size_t n = 0;
    for (std::size_t i = 0; i < w.rows; ++i) w.for_each_weight(i, [&](std::size_t, auto) { ++n; });
    return n;
}

/// "f16", "i8": of what a codec makes.
template <class Codec>
std::string type_name() {
    using T = typename Codec::value_type;
    if constexpr (pare::packed::is_coded<T>) return std::string(T::code::name);
    else return std::string(pare::dtype_name<T>());
}

/// pare's own kernel over one packed format as an entry. `product(weights, x, y, executor)` is gemm
/// or gemv; `features`: with x and y by feature whatever the shape says.
template <class Recipe, class Product>
entry own(const std::string& kernel_name, const Recipe& recipe, bool features,
          std::function<bool(const shape&)> applies, Product product) {
    using codec = decltype(Recipe::codec);
    using element = pare::packed::element_of<typename codec::value_type>;
    const auto make = [=](problem& p) {
        const auto& format = p.packed(kernel_name + type_name<codec>(), recipe);
        const auto view = format.layer.view();
        const auto [values, words] = arrays(view);
        const std::size_t values_bytes = (values.size_bytes() + 63) / 64 * 64;
        const bool by_feature = p.size.feature_major || (features && p.size.batch > 1);
        auto pool = std::make_shared<std::optional<pare::thread_pool>>();
        if (p.size.threads > 1) pool->emplace(static_cast<std::size_t>(p.size.threads));

        kernel k;
        k.weights = concatenate(values, words);
        k.y = p.y_view(by_feature);
        k.expected = format.expected;
        k.n_weights = n_stored(view);
        k.weight_bytes = view.required_bytes();
        k.run = [product, view, values_bytes, pool, x = p.x(by_feature),
                 y = p.y_view(by_feature)](const std::byte* weights) {
            const auto w =
                view.over(reinterpret_cast<const element*>(weights),
                          reinterpret_cast<const std::uint32_t*>(weights + values_bytes));
            const pare::status done =
                *pool ? product(w, x, y, **pool) : product(w, x, y, pare::serial{});
            if (!done) std::exit(1);
        };
        std::vector<kernel> forms;
        forms.push_back(std::move(k));
        return forms;
    };
    return {kernel_name, type_name<codec>(), std::move(applies), make};
}

/// All formats of one verb.
template <class Product>
bool add_own(const std::string& verb, bool (*applies)(const shape&), Product product) {
    using namespace pare::prune;
    const auto n_m_of = [&]<class T>(T, auto pattern, const std::string& name) {
        add(own(verb + '/' + name, pare::recipe{magnitude{}, pattern, pare::quant::cast<T>{}},
                false, applies, product));
    };
    const auto hinm_of = [&]<int V, class T>(T, std::integral_constant<int, V>, float sparsity,
                                             const std::string& name) {
        const hinm<2, 4, V> pattern{.vector_sparsity = sparsity};
        add(own(verb + "/hinm/" + name,
                pare::recipe{magnitude{}, pattern, pare::quant::cast<T>{}, any_order{}}, true,
                applies, product));
        add(own(verb + "/hinm_in_place/" + name,
                pare::recipe{magnitude{}, pattern, pare::quant::cast<T>{}}, true, applies,
                product));
    };
    const auto blocks_of = [&]<int B, class T>(T, std::integral_constant<int, B>) {
        for (const auto& [sparsity, text] :
             {std::pair{0.5f, "0.5"}, {0.75f, "0.75"}, {0.875f, "0.875"}}) {
            const std::string name = std::to_string(B) + ':' + text;
            add(own(verb + "/ubp/" + name,
                    pare::recipe{magnitude{}, any_blocks<B>{sparsity}, pare::quant::cast<T>{}},
                    true, applies, product));
            add(own(verb + "/block/" + name,
                    pare::recipe{magnitude{}, block<B>{sparsity}, pare::quant::cast<T>{}}, true,
                    applies, product));
        }
    };
    const auto of_dtype = [&](auto t) {
        n_m_of(t, dense{}, "dense");
        n_m_of(t, n_m<2, 4>{}, "n_m/2:4");
        n_m_of(t, n_m<1, 4>{}, "n_m/1:4");
        n_m_of(t, n_m<2, 8>{}, "n_m/2:8");
        n_m_of(t, n_m<1, 8>{}, "n_m/1:8");
        hinm_of(t, std::integral_constant<int, 32>{}, 0.5f, "2:4:v32:0.5");
        hinm_of(t, std::integral_constant<int, 64>{}, 0.5f, "2:4:v64:0.5");
        hinm_of(t, std::integral_constant<int, 32>{}, 0.75f, "2:4:v32:0.75");
        hinm_of(t, std::integral_constant<int, 64>{}, 0.75f, "2:4:v64:0.75");
        blocks_of(t, std::integral_constant<int, 8>{});
        blocks_of(t, std::integral_constant<int, 16>{});
    };
    of_dtype(float{});
    of_dtype(pare::f16{});
    of_dtype(pare::bf16{});
    return true;
}

}  // namespace bench

#endif  // PARE_BENCH_PRODUCTS_HPP
