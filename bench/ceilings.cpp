// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "harness.hpp"

#ifndef PARE_NO_XSIMD
#include <pare/kernel/simd/code_dot.hpp>
#else
#define PARE_HAS_CODE_DOT 0
#endif

#include <array>
#include <cstdint>
#include <limits>
#include <thread>
#include <type_traits>

namespace bench {

namespace {

#ifdef PARE_NO_XSIMD
using batch = float;
using integers = std::int32_t;
integers load(const std::int32_t* p) { return *p; }
float multiply_add(float a, float b, float c) { return a * b + c; }
constexpr std::size_t lanes = 1;
#else
using batch = xsimd::batch<float>;
using integers = xsimd::batch<std::int32_t>;
integers load(const std::int32_t* p) { return integers::load_unaligned(p); }
batch multiply_add(batch a, batch b, batch c) { return pare::simd::fma(a, b, c); }
constexpr std::size_t lanes = batch::size;
#endif

/// Calls work(thread) on all threads at once and waits.
template <class Work>
void on_threads(int n, const Work& work) {
    std::vector<std::thread> others;
    for (int t = 1; t < n; ++t) others.emplace_back([&work, t] { work(t); });
    work(0);
    for (std::thread& t : others) t.join();
}

/// Calls body(0), ..., body(N - 1), each number a compile-time one.
template <std::size_t N, class Body>
void unrolled(Body&& body) {
    [&]<std::size_t... I>(std::index_sequence<I...>) {
        (body(std::integral_constant<std::size_t, I>{}), ...);
    }
    (std::make_index_sequence<N>{});
}

/// Makes the sums count as used. Only whole-number indices known when compiling leave an array in
/// registers.
template <class Batch, std::size_t N>
void keep(const std::array<Batch, N>& sums) {
    Batch total(0);
    unrolled<N>([&](auto i) { total = total + sums[i]; });
    benchmark::DoNotOptimize(total);
}

// Twelve independent chains hide the latency of any current FMA unit (4 cycles, 2 a cycle, or 3 of
// them), and leave registers for two operands.
// They start from different numbers, else the compiler sees that they are one.
constexpr std::size_t n_chains = 12;
constexpr std::size_t fma_steps = 1 << 20;

void fma_peak(benchmark::State& state, int threads) {
    for (auto _ : state)
        on_threads(threads, [](int) {
            std::array<batch, n_chains> sums;
            unrolled<n_chains>([&](auto c) { sums[c] = batch(static_cast<float>(c)); });
            batch a(0.999f), b(1e-3f);
            benchmark::DoNotOptimize(a);
            benchmark::DoNotOptimize(b);
            for (std::size_t i = 0; i < fma_steps; ++i)
                unrolled<n_chains>([&](auto c) { sums[c] = multiply_add(sums[c], a, b); });
            keep(sums);
        });
    state.counters["flops"] = 2.0 * static_cast<double>(n_chains * lanes * fma_steps) * threads;
}

#if PARE_HAS_CODE_DOT
/// The same in bytes: sums of products of unsigned with signed ones. An operation counts as two, as
/// a multiplication and an addition do.
void dot_peak(benchmark::State& state, int threads) {
    using pare::simd::veci, pare::simd::word_sums;
    for (auto _ : state)
        on_threads(threads, [](int) {
            std::array<word_sums, n_chains> sums;
            unrolled<n_chains>([&](auto c) { sums[c] = word_sums{} + static_cast<int>(c); });
            std::uint32_t codes = 0x01020304, parts = 0x0102ff04;
            benchmark::DoNotOptimize(codes);
            benchmark::DoNotOptimize(parts);
            const veci a(codes), b(parts);
            for (std::size_t i = 0; i < fma_steps; ++i)
                unrolled<n_chains>([&](auto c) { sums[c] = pare::simd::dot(sums[c], a, b); });
            std::array<batch, n_chains> floats;
            unrolled<n_chains>([&](auto c) { floats[c] = pare::simd::to_floats(sums[c]); });
            keep(floats);
        });
    state.counters["flops"] = 2.0 * static_cast<double>(n_chains * lanes * 4 * fma_steps) * threads;
}
#endif

/// Reads n numbers as `Streams` streams side by side, each prefetched `Ahead` bytes (0: not at
/// all). Whole numbers: their sum takes as long whatever the bytes mean.
template <std::size_t Streams, std::size_t Ahead>
void read(const std::int32_t* data, std::size_t n) {
    // Eight sums hide the latency of adding; a step reads 8 lines, some from each stream.
    constexpr std::size_t n_lines = 8, line = 64 / sizeof(*data);
    constexpr std::size_t step = n_lines / Streams * line;
    const std::size_t length = n / Streams / step * step;
    std::array<integers, n_lines> sums;
    unrolled<n_lines>([&](auto l) { sums[l] = integers(0); });
    for (std::size_t i = 0; i < length; i += step)
        unrolled<n_lines>([&](auto l) {
            const std::int32_t* at = data + l % Streams * length + i + l / Streams * line;
            if constexpr (Ahead > 0) __builtin_prefetch(at + Ahead / sizeof(*data), 0, 0);
            for (std::size_t o = 0; o < line; o += lanes) sums[l] = sums[l] + load(at + o);
        });
    keep(sums);
}

struct reader {
    const char* label;
    void (*run)(const std::int32_t*, std::size_t);
};
constexpr std::array readers{
    reader{"1 stream", read<1, 0>},
    reader{"2 streams", read<2, 0>},
    reader{"4 streams", read<4, 0>},
    reader{"8 streams", read<8, 0>},
    reader{"1 stream, prefetch 1 KiB", read<1, 1024>},
    reader{"1 stream, prefetch 4 KiB", read<1, 4096>},
    reader{"4 streams, prefetch 512 B", read<4, 512>},
    reader{"4 streams, prefetch 2 KiB", read<4, 2048>},
    reader{"8 streams, prefetch 512 B", read<8, 512>},
};

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
#if PARE_HAS_CODE_DOT
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
