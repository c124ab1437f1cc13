// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
// Compiled once per instruction set, with MIXED_FLAGS_NAME its entry point: a program that
// dispatches at run time links all of them. It uses the library widely, so that the objects hold
// its functions.
#include <pare/io/safetensors.hpp>
#include <pare/pare.hpp>

#include <array>
#include <type_traits>

namespace {

constexpr std::size_t rows = 40, cols = 24, tokens = 5;
using weight_array = std::array<float, rows * cols>;
using token_array = std::array<float, tokens * cols>;

/// A layer's way through the library: calibrated, pruned, packed, stored in the file, read from it,
/// checked, multiplied by two threads, unpacked. @return the sum of what came out, -1 for a refusal
template <class Pattern, class T>
float run_layer(const char* path, const weight_array& weights, const token_array& x) {
    const pare::matrix_view<const float> inputs(x.data(), tokens, cols);
    std::array<double, cols> squares{};
    std::array<float, cols> norms{};
    if (!pare::prune::accumulate_input_statistics(inputs, squares) ||
        !pare::prune::input_norms(squares, norms))
        return -1.0f;
    const auto layer =
        pare::compress({weights.data(), rows, cols},
                       pare::recipe{pare::prune::wanda{}, Pattern{}, pare::quant::cast<T>{}},
                       {.input_norms = norms});
    if (!layer) return -1.0f;

    pare::io::safetensors_writer out(path);
    out.add("w", *layer);
    if (!out.commit()) return -1.0f;
    const auto file = pare::io::safetensors_reader::open(path);
    if (!file) return -1.0f;
    const auto loaded = pare::io::load<std::remove_cvref_t<decltype(*layer)>>(*file, "w");

    std::array<float, tokens * rows> y{};
    weight_array dense{};
    pare::thread_pool pool(2);
    if (!loaded || !pare::packed::check(*loaded) ||
        !pare::gemm(*loaded, inputs, {y.data(), tokens, rows}, pool) ||
        !pare::packed::unpack(*loaded, {dense.data(), rows, cols}))
        return -1.0f;
    float sum = 0.0f;
    for (const float v : y) sum += v;
    for (const float v : dense) sum += v;
    return sum;
}

}  // namespace

float MIXED_FLAGS_NAME(const char* path);

float MIXED_FLAGS_NAME(const char* path) {
    weight_array weights;
    token_array x;
    // Small integers: every order of summation and every storage type gives the same sum.
    pare::random random(1);
    for (float& w : weights) w = static_cast<float>(random.below(17));
    for (float& v : x) v = static_cast<float>(random.below(9));
    float sum = 0.0f;
    for (const float part : {run_layer<pare::prune::n_m<2, 4>, float>(path, weights, x),
                             run_layer<pare::prune::n_m<2, 4>, pare::f16>(path, weights, x),
                             run_layer<pare::prune::n_m<1, 8>, pare::bf16>(path, weights, x),
                             run_layer<pare::prune::unstructured, pare::f16>(path, weights, x),
                             run_layer<pare::prune::dense, float>(path, weights, x)}) {
        if (part < 0.0f) return -1.0f;
        sum += part;
    }
    return sum;
}
