// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "harness.hpp"

#include <pare/kernel/convert.hpp>

namespace bench {

namespace {

constexpr std::size_t n_elements = std::size_t{1} << 14;  // both sides fit the second-level cache

/// Beside the bulk conversion, its scalar twin.
template <class From, class To, class Run>
void add(const std::string& name, const Run& run) {
    add_benchmark("convert/" + name, 1, [run](benchmark::State& state) {
        const auto from = make_buffer<From>(n_elements);
        auto to = make_buffer<To>(n_elements);
        for (auto _ : state) {
            run(from.span(), to.span());
            benchmark::ClobberMemory();
        }
        state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(n_elements));
    });
}

template <class T>
void add_both_ways() {
    const std::string name(pare::dtype_name<T>());
    const auto bulk = [](auto from, auto to) {
        if (!pare::kernel::convert(from, to)) std::abort();
    };
    add<T, float>(name + "_to_f32", bulk);
    add<float, T>("f32_to_" + name, bulk);
    add<T, float>(name + "_to_f32/scalar", [](auto from, auto to) {
        for (std::size_t i = 0; i < from.size(); ++i) to[i] = pare::to_float(from[i]);
    });
    add<float, T>("f32_to_" + name + "/scalar", [](auto from, auto to) {
        for (std::size_t i = 0; i < from.size(); ++i) to[i] = pare::from_float<T>(from[i]);
    });
}

}  // namespace

void register_conversions() {
    add_both_ways<pare::f16>();
    add_both_ways<pare::bf16>();
}

}  // namespace bench
