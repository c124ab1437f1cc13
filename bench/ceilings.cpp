// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "harness.hpp"
#include "peaks.hpp"

#include <array>
#include <cstdint>
#include <limits>

namespace bench {

namespace {

void fma_peak(benchmark::State& state, int threads) {
    for (auto _ : state) on_threads(threads, [](int) { multiply_add_chains(); });
    state.counters["flops"] = 2.0 * static_cast<double>(chained_multiply_adds) * threads;
}

#if PARE_HAS_SIMD
/// An operation counts as two, as a multiplication and an addition do.
void dot_peak(benchmark::State& state, int threads) {
    for (auto _ : state) on_threads(threads, [](int) { byte_product_chains(); });
    state.counters["flops"] = 2.0 * static_cast<double>(chained_byte_products) * threads;
}
#endif

/// Reads `size` bytes per thread over and over; the fastest way of reading counts.
void read_bandwidth(benchmark::State& state, int threads, std::size_t size, std::size_t capacity) {
    const std::size_t n = size / sizeof(std::int32_t);
    // Starting a thread takes tens of microseconds: each iteration reads several megabytes.
    const std::size_t repeats = std::max<std::size_t>((std::size_t{1} << 26) / size, 1);
    const auto read_all = [&](const reader& r) {
        on_threads(threads, [&](int t) {
            const auto* mine = reinterpret_cast<const std::int32_t*>(arena().data()) +
                               static_cast<std::size_t>(t) * n;
            for (std::size_t i = 0; i < repeats; ++i) r.run(mine, n);
        });
    };
    static std::map<std::pair<int, std::size_t>, const reader*> fastest;
    const reader*& best = fastest[{threads, size}];
    if (best == nullptr) {
        double least = std::numeric_limits<double>::infinity();
        for (const reader& r : readers) {
            const double seconds = quick_time([&] { read_all(r); });
            if (seconds < least) {
                least = seconds;
                best = &r;
            }
        }
    }
    for (auto _ : state) read_all(*best);
    state.counters["bytes"] = static_cast<double>(size * repeats) * threads;
    state.counters["capacity"] = static_cast<double>(capacity);
    state.SetLabel(best->label);
}

}  // namespace

void register_ceilings() {
    for (const int threads : {1, 2}) {
        const std::string suffix = '/' + std::to_string(threads);
        add_benchmark("ceiling/fma/f32" + suffix, threads,
                      [threads](benchmark::State& state) { fma_peak(state, threads); });
#if PARE_HAS_SIMD
        add_benchmark("ceiling/dot/i8" + suffix, threads,
                      [threads](benchmark::State& state) { dot_peak(state, threads); });
#endif
        for (const auto& cache : benchmark::CPUInfo::Get().caches) {
            if (cache.type == "Instruction") continue;
            const std::size_t capacity = static_cast<std::size_t>(cache.size);
            const std::size_t size = capacity / (cache.level < 3 ? 2 : 4);
            add_benchmark(
                "ceiling/read/l" + std::to_string(cache.level) + suffix, threads,
                [=](benchmark::State& state) { read_bandwidth(state, threads, size, capacity); });
        }
        add_benchmark("ceiling/read/dram" + suffix, threads, [threads](benchmark::State& state) {
            const std::size_t size = arena().size() / static_cast<std::size_t>(threads);
            read_bandwidth(state, threads, size, std::size_t{1} << 60);
        });
    }
}

}  // namespace bench
