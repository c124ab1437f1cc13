// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0

// Chooses a compile-time recipe at run time: the engine's business, and one std::variant.
#include <pare/pare.hpp>

#include <cstdio>
#include <optional>
#include <string_view>
#include <variant>
#include <vector>

namespace {

namespace prune = pare::prune;
namespace packed = pare::packed;

// [readme-choice]
/// Every format this engine ships.
using any_layer =
    std::variant<pare::layer<packed::dense<pare::bf16>>, pare::layer<packed::n_m<2, 4, pare::bf16>>,
                 pare::layer<packed::n_m<1, 4, pare::bf16>>>;

std::optional<any_layer> compress_as(std::string_view name, pare::matrix_view<const float> w) {
    const auto as = [&](auto pattern) -> std::optional<any_layer> {
        auto layer = pare::compress(w, pattern, pare::quant::cast<pare::bf16>{});
        if (!layer) return std::nullopt;
        return any_layer(*std::move(layer));
    };
    if (name == "dense") return as(prune::dense{});
    if (name == "2:4") return as(prune::n_m<2, 4>{});
    if (name == "1:4") return as(prune::n_m<1, 4>{});
    return std::nullopt;
}

pare::status run(const any_layer& any, std::span<const float> x, std::span<float> y) {
    return std::visit([&](const auto& layer) { return pare::gemv(layer, x, y); }, any);
}
// [readme-choice]

}  // namespace

int main(int argc, char** argv) {
    constexpr std::size_t rows = 64, cols = 128;
    std::vector<float> weights(rows * cols), x(cols, 1.0f), y(rows);
    pare::random random(1);
    for (float& v : weights) v = random.symmetric();

    const std::vector<std::string_view> names =
        argc > 1 ? std::vector<std::string_view>(argv + 1, argv + argc)
                 : std::vector<std::string_view>{"dense", "2:4", "1:4"};
    for (const std::string_view name : names) {
        const auto layer = compress_as(name, {weights.data(), rows, cols});
        if (!layer) {
            std::fprintf(stderr, "runtime_choice: no format '%.*s'; there are dense, 2:4, 1:4\n",
                         static_cast<int>(name.size()), name.data());
            return 2;
        }
        if (!run(*layer, x, y)) return 1;
        const auto bytes = std::visit([](const auto& l) { return l.report().bytes; }, *layer);
        std::printf("%-5.*s %5zu bytes, y[0] = %8.4f\n", static_cast<int>(name.size()), name.data(),
                    bytes, static_cast<double>(y[0]));
    }
    return 0;
}
