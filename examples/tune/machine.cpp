// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "machine.hpp"

#include "bench/peaks.hpp"

#include <pare/tune/race.hpp>

#include <time.h>

#include <algorithm>
#include <bit>

namespace tuner {

namespace {

// The least seconds of a few runs: interruptions only add.
double seconds_of(const stopwatch& now, const auto& run) {
    double least = 1e9;
    for (int i = 0; i < 5; ++i) {
        const double before = now();
        run();
        least = std::min(least, now() - before);
    }
    return least;
}

}  // namespace

double stopwatch::operator()() const noexcept {
    if (threads > 1) return pare::tune::steady_seconds{}();
    timespec used{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return static_cast<double>(used.tv_sec) + 1e-9 * static_cast<double>(used.tv_nsec);
}

pare::tune::ceilings machine::ceilings(std::size_t threads, std::size_t bytes, bool of_integers) {
    double& most = multiply_add_[{threads, of_integers}];
    if (most <= 0.0) most = multiply_adds_per_second(threads, of_integers);
    constexpr std::size_t least = 64 * 1024, largest = std::size_t{1} << 28;
    const std::size_t of_thread =
        std::bit_ceil(std::clamp(bytes / threads, least, largest / threads));
    double& read = read_[{threads, of_thread}];
    if (read <= 0.0) read = bytes_per_second(threads, of_thread);
    return {.bytes_per_second = read, .multiply_adds_per_second = most};
}

double machine::multiply_adds_per_second(std::size_t threads, [[maybe_unused]] bool of_integers) {
    std::size_t n_chained = bench::chained_multiply_adds;
    void (*chains)() = bench::multiply_add_chains;
#if PARE_HAS_SIMD
    if (of_integers) n_chained = bench::chained_byte_products, chains = bench::byte_product_chains;
#endif
    const double seconds = seconds_of(
        {threads}, [&] { bench::on_threads(static_cast<int>(threads), [&](int) { chains(); }); });
    return static_cast<double>(n_chained * threads) / seconds;
}

// Several megabytes a run, beside which threads start in no time.
double machine::bytes_per_second(std::size_t threads, std::size_t bytes) {
    const std::size_t n = bytes / sizeof(std::int32_t);
    if (memory_.size() < n * threads) memory_.assign(n * threads, 1);
    const std::size_t repeats = std::max<std::size_t>((std::size_t{1} << 24) / bytes, 1);
    double least = 1e9;
    for (const bench::reader& r : bench::readers)
        least = std::min(least, seconds_of({threads}, [&] {
                             bench::on_threads(static_cast<int>(threads), [&](int t) {
                                 const auto* const mine =
                                     memory_.data() + static_cast<std::size_t>(t) * n;
                                 for (std::size_t i = 0; i < repeats; ++i) r.run(mine, n);
                             });
                         }));
    return static_cast<double>(bytes * repeats * threads) / least;
}

}  // namespace tuner
