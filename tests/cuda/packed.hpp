// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_TESTS_CUDA_PACKED_HPP
#define PARE_TESTS_CUDA_PACKED_HPP

#include <pare/cuda/pack_hinm.hpp>

#include "support/layouts.hpp"
#include "support/matrix.hpp"

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

}  // namespace pare::testing

#endif  // PARE_TESTS_CUDA_PACKED_HPP
