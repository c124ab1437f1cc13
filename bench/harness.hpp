// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_BENCH_HARNESS_HPP
#define PARE_BENCH_HARNESS_HPP

#include <pare/compress.hpp>
#include <pare/core/random.hpp>
#include <pare/kernel/reference.hpp>

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bench {

using bytes = pare::buffer<std::byte>;

/// The value of a result; a benchmark that cannot set itself up ends the program.
template <class T>
T value_or_exit(pare::result<T> made) {
    if (made) return *std::move(made);
    std::cerr << "pare_bench: " << made.error().message << '\n';
    std::exit(1);
}

template <class T>
pare::buffer<T> make_buffer(std::size_t size) {
    return value_or_exit(pare::buffer<T>::make(size));
}

/// y = x W^T with W (rows, cols), x (batch, cols), y (batch, rows) on some threads. Comparisons
/// hold within one such group, never across.
struct shape {
    std::size_t rows, cols, batch;
    bool feature_major;  ///< x and y are stored feature by feature, as in a 1x1 convolution
    int threads;

    /// Weights that fit no cache are read from memory: the copies of a model's layers.
    bool cold() const { return batch == 1 && rows * cols >= (std::size_t{1} << 24); }
    bool operator==(const shape&) const = default;
};

/// Weights packed by pare and the answer of the scalar twin for the tokens of problem::checked.
template <class Layout>
struct packed_format {
    pare::layer<Layout> layer;
    std::vector<float> expected;  ///< (checked tokens, rows)
};

/// The inputs of one shape, shared by all kernels of its group.
class problem {
  public:
    explicit problem(const shape& s);

    shape size;
    pare::buffer<float> weights;  ///< (rows, cols)
    pare::buffer<float>
        x_tokens;  ///< (batch, cols); exact in bf16, so that bf16 peers see the same
    pare::buffer<float> x_features;  ///< (cols, batch), the same numbers
    pare::buffer<float> y;           ///< whatever ran last
    std::vector<std::size_t> checked;

    pare::matrix_view<const float> w() const { return {weights.data(), size.rows, size.cols}; }
    pare::matrix_view<const float> x(bool feature_major) const {
        if (!feature_major) return {x_tokens.data(), size.batch, size.cols};
        return pare::matrix_view<const float>(x_features.data(), size.cols, size.batch)
            .transposed();
    }
    pare::matrix_view<float> y_view(bool feature_major) {
        if (!feature_major) return {y.data(), size.batch, size.rows};
        return pare::matrix_view<float>(y.data(), size.rows, size.batch).transposed();
    }

    /// The weights by a recipe, and what they are to give. Made once per problem and name.
    template <class Recipe>
    const auto& packed(const std::string& name, const Recipe& recipe) {
        using layout =
            pare::packed::layout_of<typename decltype(pare::compress(w(), recipe))::value_type>;
        auto& made = formats_[name];
        if (!made) {
            auto layer = value_or_exit(pare::compress(w(), recipe));
            std::vector<float> expected(checked.size() * size.rows);
            for (std::size_t i = 0; i < checked.size(); ++i)
                pare::kernel::gemm_ref(layer.view(), x(false).block(checked[i], 0, 1, size.cols),
                                       {&expected[i * size.rows], 1, size.rows});
            made = std::make_shared<packed_format<layout>>(
                packed_format<layout>{std::move(layer), std::move(expected)});
        }
        return *static_cast<const packed_format<layout>*>(made.get());
    }
    /// N of M kept by magnitude and stored as T; 1:1 is dense.
    template <int N, int M, class T>
    const packed_format<pare::packed::n_m<N, M, T>>& packed() {
        return packed(
            std::to_string(N) + ':' + std::to_string(M) + '/' + std::string(pare::dtype_name<T>()),
            pare::recipe{pare::prune::magnitude{}, pattern<N, M>(), pare::quant::cast<T>{}});
    }

  private:
    template <int N, int M>
    static auto pattern() {
        if constexpr (N == M) return pare::prune::dense{};
        else return pare::prune::n_m<N, M>{};
    }

    std::map<std::string, std::shared_ptr<void>> formats_;
};

/// Something that computes a problem's y from prepared weights, wherever those lie: a cold run
/// moves on to another copy of them each time.
struct kernel {
    std::string label;  ///< which form this is, when there are several
    bytes weights;      ///< prepared; empty when the peer keeps its own
    std::function<void(const std::byte* weights)> run;
    pare::matrix_view<const float> y;  ///< (batch, rows), where run leaves its answer
    std::span<const float> expected;   ///< of a packed_format
    std::size_t n_weights = 0;         ///< multiplied per token, zeros not skipped included
    bool in_integers = false;          ///< by integer dot products
    std::size_t weight_bytes = 0;      ///< read per run
};

/// Name and recipe of one benchmark per shape.
struct entry {
    std::string kernel;  ///< "gemm/n_m/2:4", "peer/openblas/dense"
    std::string dtype;   ///< of the weights
    std::function<bool(const shape&)> applies;
    /// The forms of the same computation; the fastest is measured, a wrong one never.
    std::function<std::vector<bench::kernel>(problem&)> make;
    /// Called before anything of the entry runs.
    std::function<void(int threads)> set_threads = [](int) {};
};

/// Adds an entry; used for its side effect at namespace scope.
bool add(entry e);

/// A benchmark of one thread is timed by the CPU time of the process, which being interrupted does
/// not touch and a hidden helper thread does not improve; one of several by the clock on the wall.
template <class Run>
void add_benchmark(const std::string& name, int threads, Run run) {
    auto* made = benchmark::RegisterBenchmark(name.c_str(), run)->Unit(benchmark::kMicrosecond);
    if (threads == 1) made->MeasureProcessCPUTime();
    else made->UseRealTime();
}

/// Registers all entries at all shapes with Google Benchmark.
void register_products();
void register_ceilings();
void register_conversions();
void register_attention();
void register_backbones();
void register_permutations();
void register_selections();
void register_cuda();  ///< built with PARE_CUDA

/// Shared memory of at least 1 GB, larger than any cache.
std::span<std::byte> arena();

/// Seconds of one run: the least over 20 ms, and over three runs at least.
template <class Run>
double quick_time(Run&& run) {
    using clock = std::chrono::steady_clock;
    const auto begin = clock::now();
    double best = 1e9;
    for (int n = 0; n < 3 || clock::now() - begin < std::chrono::milliseconds(20); ++n) {
        const auto start = clock::now();
        run();
        best = std::min(best, std::chrono::duration<double>(clock::now() - start).count());
    }
    return best;
}

/// The bytes of some arrays one after the other, each at a multiple of 64.
template <class... Spans>
bytes concatenate(const Spans&... spans) {
    const auto padded = [](std::size_t size) { return (size + 63) / 64 * 64; };
    bytes all = make_buffer<std::byte>((padded(spans.size_bytes()) + ... + 0));
    std::byte* at = all.data();
    ((std::memcpy(at, spans.data(), spans.size_bytes()), at += padded(spans.size_bytes())), ...);
    return all;
}

}  // namespace bench

#endif  // PARE_BENCH_HARNESS_HPP
