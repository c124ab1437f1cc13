// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "harness.hpp"
#include "products.hpp"

#include "device.hpp"

#include <cmath>
#include <limits>

namespace bench {

namespace {

constexpr int runs_in_a_row = 10;  // so that launching them does not count

/// The inputs of one shape on the GPU, and the weights that kernels made of them.
struct gpu_problem {
    explicit gpu_problem(const shape& s)
        : host(s), x_f16(s.batch * s.cols), x_bf16(s.batch * s.cols), y(s.batch * s.rows),
          cublas(stream) {
        upload(x_f16, host.x_features.span());
        upload(x_bf16, host.x_features.span());
    }

    problem host;
    gpu::stream stream;
    gpu::array<pare::f16> x_f16;  ///< feature by feature
    gpu::array<pare::bf16> x_bf16;
    gpu::array<std::uint16_t> y;  ///< likewise, of either type: whatever ran last
    gpu::cublas cublas;
    std::map<std::string, std::function<void()>> runs;

    template <class T>
    static void upload(const gpu::array<T>& to, std::span<const float> from) {
        std::vector<T> values(from.size());
        for (std::size_t i = 0; i < from.size(); ++i) values[i] = pare::from_float<T>(from[i]);
        gpu::check(cudaMemcpy(to.data(), values.data(), values.size() * sizeof(T),
                              cudaMemcpyHostToDevice));
    }
    template <class T>
    const T* x() const {
        if constexpr (std::is_same_v<T, pare::f16>) return x_f16.data();
        else return x_bf16.data();
    }
    /// Whether y, in T, is what the scalar twin says, rounded to T.
    template <class T, class Layout>
    bool is_right(const Layout& weights) const {
        const auto stored = y.to_host();
        std::vector<float> expected(host.size.rows);
        for (const std::size_t t : host.checked) {
            pare::kernel::gemm_ref(weights, host.x(false).block(t, 0, 1, host.size.cols),
                                   {expected.data(), 1, expected.size()});
            for (std::size_t r = 0; r < expected.size(); ++r) {
                const float got = pare::to_float(T{stored[r * host.size.batch + t]});
                const float half_step = std::is_same_v<T, pare::f16> ? 0x1p-11f : 0x1p-8f;
                const float tolerance = half_step * std::fabs(expected[r]) +
                                        4.0f * std::numeric_limits<float>::epsilon() *
                                            static_cast<float>(host.size.cols);
                if (!(std::fabs(got - expected[r]) <= tolerance)) return false;
            }
        }
        return true;
    }
};

gpu_problem& current_problem(const shape& s) {
    static std::unique_ptr<gpu_problem> current;
    if (!current || !(current->host.size == s)) {
        current.reset();
        current = std::make_unique<gpu_problem>(s);
    }
    return *current;
}

/// make(problem) gives what queues one product, or nothing where it errs.
template <class Make>
void add_gpu_benchmark(const std::string& kernel, const std::string& dtype, const shape& s,
                       Make make) {
    const std::string name = kernel + '/' + dtype + '/' + std::to_string(s.rows) + 'x' +
                             std::to_string(s.cols) + '/' + std::to_string(s.batch) + "/0";
    const auto run = [=](benchmark::State& state) {
        if (const std::string why = gpu::obstacle(); !why.empty())
            return state.SkipWithError(why.c_str());
        gpu_problem& p = current_problem(s);
        auto [found, is_new] = p.runs.try_emplace(name);
        if (is_new) found->second = make(p);
        if (!found->second) return state.SkipWithError("WRONG RESULT");
        for (auto _ : state)
            state.SetIterationTime(p.stream.seconds([&] {
                for (int i = 0; i < runs_in_a_row; ++i) found->second();
            }) / runs_in_a_row);
        state.counters["flops"] = 2.0 * static_cast<double>(s.rows * s.cols * s.batch);
    };
    benchmark::RegisterBenchmark(name.c_str(), run)->Unit(benchmark::kMicrosecond)->UseManualTime();
}

template <class T, int V, class Order>
void add_hinm(const std::string& kernel, const shape& s, float sparsity, const std::string& text,
              Order order) {
    add_gpu_benchmark(
        kernel + "/2:4:v" + std::to_string(V) + ':' + text, std::string(pare::dtype_name<T>()), s,
        [=](gpu_problem& p) -> std::function<void()> {
            const auto layer = value_or_exit(pare::compress(
                p.host.w(),
                pare::recipe{pare::prune::magnitude{}, pare::prune::hinm<2, 4, V>{sparsity},
                             pare::quant::cast<T>{}, order}));
            const auto weights = std::make_shared<gpu::weights<T>>(layer.view());
            const auto x = pare::matrix_view<const T>(p.x<T>(), s.cols, s.batch).transposed();
            const auto y = pare::matrix_view<T>(reinterpret_cast<T*>(p.y.data()), s.rows, s.batch)
                               .transposed();
            const auto run = [weights, x, y, &stream = p.stream] {
                if (!gpu::hinm_gemm(weights->layout, x, y, stream)) std::exit(1);
            };
            run();
            if (!p.is_right<T>(layer.view())) return {};
            return run;
        });
}

/// Token by token or feature by feature, whichever is faster.
template <class T>
void add_cublas(const shape& s) {
    add_gpu_benchmark("peer/cublas/dense", std::string(pare::dtype_name<T>()), s,
                      [=](gpu_problem& p) -> std::function<void()> {
                          const auto w = std::make_shared<gpu::array<T>>(s.rows * s.cols);
                          p.upload(*w, p.host.weights.span());
                          const T* const x = p.x<T>();
                          const auto form = [w, x, s, &p](bool feature_major) {
                              return [=, &p] {
                                  p.cublas.gemm(w->data(), s.rows, s.cols, x,
                                                reinterpret_cast<T*>(p.y.data()), s.batch,
                                                feature_major);
                              };
                          };
                          form(true)();
                          const auto& dense = p.host.packed<1, 1, T>();
                          if (!p.is_right<T>(dense.layer.view())) return {};
                          const auto time = [&](bool feature_major) {
                              form(feature_major)();
                              return p.stream.seconds([&] {
                                  for (int i = 0; i < runs_in_a_row; ++i) form(feature_major)();
                              });
                          };
                          return form(time(true) < time(false));
                      });
}

}  // namespace

/// Names end in 0 threads: none of the CPU's.
void register_cuda() {
    for (const auto& [rows, cols] : {std::pair{4096u, 4096u}, {11008u, 4096u}, {3072u, 768u}})
        for (const std::size_t tokens : {512u, 1024u, 2048u, 4096u, 8192u}) {
            const shape s{rows, cols, tokens, true, 0};
            add_cublas<pare::f16>(s);
            add_cublas<pare::bf16>(s);
            for (const auto& [sparsity, text] :
                 {std::pair{0.0f, "0"}, {0.5f, "0.5"}, {0.75f, "0.75"}}) {
                const auto of_tiles = [&]<int V>(std::integral_constant<int, V>) {
                    add_hinm<pare::f16, V>("cuda/hinm", s, sparsity, text, any_order{});
                    add_hinm<pare::f16, V>("cuda/hinm_in_place", s, sparsity, text,
                                           pare::prune::in_place{});
                };
                of_tiles(std::integral_constant<int, 32>{});
                of_tiles(std::integral_constant<int, 64>{});
                of_tiles(std::integral_constant<int, 128>{});
                add_hinm<pare::bf16, 128>("cuda/hinm", s, sparsity, text, any_order{});
            }
        }
}

}  // namespace bench
