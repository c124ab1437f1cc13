// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "products.hpp"
#include <pare/quant/scaled.hpp>

// Whole numbers times whole numbers: gemv/i8x/2:4/i8/... The activations are quantised within the
// time.

namespace bench {

namespace {

template <class Recipe>
entry integers(const std::string& name, const Recipe& recipe, bool one_token) {
    using T = typename decltype(Recipe::codec)::value_type;
    const auto make = [=](problem& p) {
        const auto& format = p.packed(name + std::string(pare::packed::storage_name<T>()), recipe);
        const auto view = format.layer.view();
        const auto [values, words] = arrays(view);
        const std::size_t values_bytes = (values.size_bytes() + 63) / 64 * 64;
        auto memory = std::make_shared<std::vector<std::byte>>(
            pare::quantised_tokens::required_bytes(p.size.batch, p.size.cols));
        auto pool = std::make_shared<std::optional<pare::thread_pool>>();
        if (p.size.threads > 1) pool->emplace(static_cast<std::size_t>(p.size.threads));

        // What the scalar twin makes of the same tokens.
        const auto tokens = value_or_exit(pare::quantise(p.x(false), *memory));
        auto expected = std::make_shared<std::vector<float>>(p.checked.size() * p.size.rows);
        for (std::size_t i = 0; i < p.checked.size(); ++i) {
            const std::size_t t = p.checked[i];
            const pare::quantised_tokens one{1, tokens.cols, tokens.token(t), tokens.scales + t};
            pare::kernel::gemm_ref(view, 0, view.rows, one,
                                   {&(*expected)[i * p.size.rows], 1, p.size.rows});
        }

        kernel k;
        k.weights = concatenate(values, words);
        k.y = p.y_view(false);
        k.expected = *expected;
        k.n_weights = n_stored(view);
        k.in_integers = true;
        k.weight_bytes = view.required_bytes();
        k.run = [=, x = p.x(false), y = p.y_view(false)](const std::byte* weights) {
            const auto w =
                view.over(reinterpret_cast<const std::uint32_t*>(weights),
                          reinterpret_cast<const std::uint32_t*>(weights + values_bytes));
            const auto run = [&](auto&& executor) {
                const auto q = pare::quantise(x, *memory, executor);
                return q && pare::gemm(w, *q, y, executor);
            };
            // expected is held, for its span.
            if (expected->empty() || !(*pool ? run(**pool) : run(pare::serial{}))) std::exit(1);
        };
        std::vector<kernel> forms;
        forms.push_back(std::move(k));
        return forms;
    };
    return {(one_token ? "gemv/i8x/" : "gemm/i8x/") + name, std::string(T::code::name),
            [one_token](const shape& s) { return !s.feature_major && (s.batch == 1) == one_token; },
            make};
}

template <class Codec>
void add_patterns(const std::string& suffix, const Codec& codec) {
    using namespace pare::prune;
    for (const bool one_token : {true, false}) {
        add(integers("dense" + suffix, pare::recipe{magnitude{}, dense{}, codec}, one_token));
        add(integers("2:4" + suffix, pare::recipe{magnitude{}, n_m<2, 4>{}, codec}, one_token));
        add(integers("1:4" + suffix, pare::recipe{magnitude{}, n_m<1, 4>{}, codec}, one_token));
    }
}

const bool added = [] {
    add_patterns("", pare::quant::int8<>{});
    add_patterns(":g32", pare::quant::int4<pare::quant::per_group<32>>{});
    return true;
}();

}  // namespace

}  // namespace bench
