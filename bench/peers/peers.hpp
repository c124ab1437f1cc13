// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_BENCH_PEERS_PEERS_HPP
#define PARE_BENCH_PEERS_PEERS_HPP

#include "../harness.hpp"

#include <cstdint>

namespace bench {

inline bool any_shape(const shape&) { return true; }

/// What the dense f32 peers share: W row-major (rows, cols), or transposed; everything but `run`.
inline kernel dense_peer(problem& p, bool transposed, bool features) {
    kernel k;
    k.label = std::string(features ? "x by feature" : "x by token") +
              (transposed ? ", W transposed" : "");
    k.y = p.y_view(features);
    k.expected = p.packed<1, 1, float>().expected;
    k.n_weights = p.size.rows * p.size.cols;
    k.weight_bytes = k.n_weights * sizeof(float);
    if (!transposed) {
        k.weights = concatenate(p.weights.span());
    } else {
        k.weights = make_buffer<std::byte>(k.weight_bytes);
        float* out = reinterpret_cast<float*>(k.weights.data());
        for (std::size_t r = 0; r < p.size.rows; ++r)
            for (std::size_t c = 0; c < p.size.cols; ++c) out[c * p.size.rows + r] = p.w()(r, c);
    }
    return k;
}

/// The N:M pruned weights as a dense (rows, cols) matrix.
template <int N, int M>
pare::buffer<float> pruned_weights(problem& p) {
    pare::buffer<float> w = make_buffer<float>(p.size.rows * p.size.cols);
    if (!pare::packed::unpack(p.packed<N, M, float>().layer.view(),
                              {w.data(), p.size.rows, p.size.cols}))
        std::exit(1);
    return w;
}

/// add(make<N, M>()) for the patterns that the sparse peers are measured with.
template <class Make>
bool add_sparse(const std::string& peer, bool (*applies)(const shape&), Make make,
                std::function<void(int)> set_threads) {
    const auto add_pattern = [&]<int N, int M>() {
        add({"peer/" + peer + "/sparse/" + std::to_string(N) + ':' + std::to_string(M), "f32",
             applies,
             [make](problem& p) {
                 return make(p, pruned_weights<N, M>(p),
                             std::span<const float>(p.packed<N, M, float>().expected));
             },
             set_threads});
    };
    add_pattern.template operator()<2, 4>();
    add_pattern.template operator()<1, 4>();
    add_pattern.template operator()<2, 8>();
    add_pattern.template operator()<1, 8>();
    return true;
}

}  // namespace bench

#endif  // PARE_BENCH_PEERS_PEERS_HPP
