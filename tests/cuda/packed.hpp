// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_TESTS_CUDA_PACKED_HPP
#define PARE_TESTS_CUDA_PACKED_HPP

#include <pare/cuda/pack_hinm.hpp>
#include <pare/kernel/reference.hpp>

#include "support/layouts.hpp"
#include "support/matrix.hpp"
#include "support/metrics.hpp"

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <vector>

namespace pare::testing {

/// Packed hinm weights in any order, and the same for a GPU.
template <int V, class T>
struct gpu_weights {
    hinm_matrix<2, 4, V, T> source;
    std::vector<T> values;
    std::vector<std::uint32_t> words;
    cuda::hinm<T> layout;

    gpu_weights(const matrix& weights, std::uint64_t seed)
        : source(weights, seed), values(cuda::shape_of(source.view()).n_values()),
          words(cuda::shape_of(source.view()).n_words()) {
        const auto made = cuda::pack(source.view(), std::span(values), std::span(words));
        if (!made) std::abort();
        layout = *made;
    }
};

/// How activations lie in memory.
enum class major { token, feature };

/// x W^T by gemm's scalar twin, on the CPU.
template <int V, class T>
matrix expected_gemm(const gpu_weights<V, T>& weights, const matrix& x,
                     const epilogue& after = {}) {
    matrix y(x.rows(), weights.layout.rows);
    kernel::gemm_ref(weights.source.view(), x.view(), y.view(), after);
    return y;
}

/// How many results are further from the twin's than `bounds` times what the order of a sum may
/// change, and half a step of what they are rounded to.
template <int V, class T>
int n_beyond(double bounds, double half_step, const matrix& y, const gpu_weights<V, T>& weights,
             const matrix& x) {
    const matrix expected = expected_gemm(weights, x);
    int n = 0;
    for (std::size_t t = 0; t < y.rows(); ++t)
        for (std::size_t r = 0; r < y.cols(); ++r) {
            double magnitude = 0.0;
            for (std::size_t c = 0; c < x.cols(); ++c)
                magnitude += std::abs(static_cast<double>(weights.source.dense()(r, c)) *
                                      static_cast<double>(x(t, c)));
            const auto e = static_cast<double>(expected(t, r));
            const double bound =
                bounds * dot_product_bound(x.cols(), magnitude) + half_step * std::abs(e) * 1.01;
            n += !(std::abs(static_cast<double>(y(t, r)) - e) <= bound);
        }
    return n;
}

/// Epilogues of as many outputs: a bias, all there is, and no bias.
struct epilogues {
    std::vector<float> bias, scale;

    explicit epilogues(std::size_t outputs) : bias(outputs), scale(outputs) {
        for (std::size_t r = 0; r < outputs; ++r) {
            bias[r] = static_cast<float>(r) - 20.0f;
            scale[r] = r % 2 == 0 ? 0.5f : -2.0f;
        }
    }
    std::vector<epilogue> all() const {
        return {{.bias = bias}, {bias, scale, activation::relu}, {{}, scale, activation::relu6}};
    }
};

}  // namespace pare::testing

#endif  // PARE_TESTS_CUDA_PACKED_HPP
