// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_BENCH_PRODUCTS_HPP
#define PARE_BENCH_PRODUCTS_HPP

#include "harness.hpp"
#include <pare/pare.hpp>

#include <cstdint>
#include <optional>

namespace bench {

/// pare's own kernel over n_m<N, M, T> weights as an entry. `product(weights, x, y, executor)` is
/// gemm or gemv.
template <int N, int M, class T, class Product>
entry own(const std::string& verb, std::function<bool(const shape&)> applies, Product product) {
    using layout = pare::packed::n_m<N, M, T>;
    const std::string pattern =
        N == M ? "dense" : "n_m/" + std::to_string(N) + ':' + std::to_string(M);
    const auto make = [product](problem& p) {
        const auto& format = p.packed<N, M, T>();
        const layout view = format.layer.view();
        const std::size_t n_values = layout::n_values(view.rows, view.cols);
        const std::size_t values_bytes = (n_values * sizeof(T) + 63) / 64 * 64;
        auto pool = std::make_shared<std::optional<pare::thread_pool>>();
        if (p.size.threads > 1) pool->emplace(static_cast<std::size_t>(p.size.threads));

        kernel k;
        k.weights = concatenate(std::span(view.values, n_values),
                                std::span(view.indices, layout::n_indices(view.rows, view.cols)));
        k.y = p.y_view(p.size.feature_major);
        k.expected = format.expected;
        k.n_weights = view.rows * layout::steps(view.cols);
        k.weight_bytes = layout::required_bytes(view.rows, view.cols);
        k.run = [product, view, values_bytes, pool, x = p.x(p.size.feature_major),
                 y = p.y_view(p.size.feature_major)](const std::byte* weights) {
            layout w = view;
            w.values = reinterpret_cast<const T*>(weights);
            w.indices = reinterpret_cast<const std::uint32_t*>(weights + values_bytes);
            const pare::status done =
                *pool ? product(w, x, y, **pool) : product(w, x, y, pare::serial{});
            if (!done) std::exit(1);
        };
        std::vector<kernel> forms;
        forms.push_back(std::move(k));
        return forms;
    };
    return {verb + '/' + pattern, std::string(pare::dtype_name<T>()), std::move(applies), make};
}

/// All formats of one verb.
template <class Product>
bool add_own(const std::string& verb, bool (*applies)(const shape&), Product product) {
    const auto of_dtype = [&]<class T>(T) {
        add(own<1, 1, T>(verb, applies, product));
        add(own<2, 4, T>(verb, applies, product));
        add(own<1, 4, T>(verb, applies, product));
        add(own<2, 8, T>(verb, applies, product));
        add(own<1, 8, T>(verb, applies, product));
    };
    of_dtype(float{});
    of_dtype(pare::f16{});
    of_dtype(pare::bf16{});
    return true;
}

}  // namespace bench

#endif  // PARE_BENCH_PRODUCTS_HPP
