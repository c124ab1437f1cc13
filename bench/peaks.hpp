// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_BENCH_PEAKS_HPP
#define PARE_BENCH_PEAKS_HPP

#include <pare/kernel/simd/byte_products.hpp>
#include <pare/kernel/simd/vec.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

// What a machine can do at most: loops that multiply and add, or read, and nothing else.

namespace bench {

#ifdef PARE_NO_XSIMD
using batch = float;
using integers = std::int32_t;
inline integers load(const std::int32_t* p) { return *p; }
inline float multiply_add(float a, float b, float c) { return a * b + c; }
inline constexpr std::size_t lanes = 1;
#else
using batch = xsimd::batch<float>;
using integers = xsimd::batch<std::int32_t>;
inline integers load(const std::int32_t* p) { return integers::load_unaligned(p); }
inline batch multiply_add(batch a, batch b, batch c) { return pare::simd::fma(a, b, c); }
inline constexpr std::size_t lanes = batch::size;
#endif

/// Calls work(thread) on all threads at once and waits.
template <class Work>
void on_threads(int n, const Work& work) {
    std::vector<std::thread> others;
    for (int t = 1; t < n; ++t) others.emplace_back([&work, t] { work(t); });
    work(0);
    for (std::thread& t : others) t.join();
}

/// Nobody knows what a value is from here on, nor that it is not used.
template <class T>
void keep_secret(T& value) {
    asm volatile("" : "+m"(value) : : "memory");
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
    keep_secret(total);
}

// Twelve independent chains hide the latency of any current FMA unit (4 cycles, 2 a cycle, or 3 of
// them), and leave registers for two operands.
// They start from different numbers, else the compiler sees that they are one.
inline constexpr std::size_t n_chains = 12;
inline constexpr std::size_t fma_steps = 1 << 20;

inline constexpr std::size_t chained_multiply_adds = n_chains * lanes * fma_steps;

inline void multiply_add_chains() {
    std::array<batch, n_chains> sums;
    unrolled<n_chains>([&](auto c) { sums[c] = batch(static_cast<float>(c)); });
    batch a(0.999f), b(1e-3f);
    keep_secret(a);
    keep_secret(b);
    for (std::size_t i = 0; i < fma_steps; ++i)
        unrolled<n_chains>([&](auto c) { sums[c] = multiply_add(sums[c], a, b); });
    keep(sums);
}

#if PARE_HAS_SIMD
inline constexpr std::size_t chained_byte_products = 4 * chained_multiply_adds;

/// The same of bytes.
inline void byte_product_chains() {
    using pare::simd::veci, pare::simd::word_sums;
    std::array<word_sums, n_chains> sums;
    unrolled<n_chains>([&](auto c) { sums[c] = word_sums{} + static_cast<int>(c); });
    std::uint32_t codes = 0x01020304, parts = 0x0102ff04;
    keep_secret(codes);
    keep_secret(parts);
    const veci a(codes), b(parts);
    for (std::size_t i = 0; i < fma_steps; ++i)
        unrolled<n_chains>([&](auto c) { sums[c] = pare::simd::add_products(sums[c], a, b); });
    std::array<batch, n_chains> floats;
    unrolled<n_chains>([&](auto c) { floats[c] = pare::simd::to_floats(sums[c]); });
    keep(floats);
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
inline constexpr std::array readers{
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

}  // namespace bench

#endif  // PARE_BENCH_PEAKS_HPP
