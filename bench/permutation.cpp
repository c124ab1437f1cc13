// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "harness.hpp"

#include <pare/core/thread_pool.hpp>
#include <pare/prune/column_order.hpp>
#include <pare/prune/gyro.hpp>

#include <cmath>

namespace bench {

namespace {

/// |w| of weights that are about normal: sums of four uniform numbers.
pare::buffer<float> saliency(std::size_t rows, std::size_t cols) {
    auto made = make_buffer<float>(rows * cols);
    pare::random random(1);
    for (float& x : made.span())
        x = std::fabs(random.symmetric() + random.symmetric() + random.symmetric() +
                      random.symmetric());
    return made;
}

void add_gyro(std::size_t rows, std::size_t cols, std::size_t rounds, int threads) {
    const std::string name = "permutation/gyro/2:4:v32:0.5/" + std::to_string(rows) + 'x' +
                             std::to_string(cols) + '/' + std::to_string(rounds) + '/' +
                             std::to_string(threads);
    add_benchmark(name, threads, [=](benchmark::State& state) {
        const auto scores = saliency(rows, cols);
        pare::thread_pool pool(static_cast<std::size_t>(threads));
        for (auto _ : state) {
            const auto found = value_or_exit(pare::prune::gyro{.rounds = rounds}.search(
                {scores.data(), rows, cols}, pare::prune::hinm<2, 4, 32>{0.5f}, pool));
            state.counters["identity"] = found.report.identity;
            state.counters["gyro"] = found.report.after_input;
            state.counters["retained"] = found.report.retained;
        }
    });
}

void add_column_order(std::size_t rows, std::size_t cols, std::size_t rounds, int threads) {
    const std::string name = "permutation/column_order/2:4/" + std::to_string(rows) + 'x' +
                             std::to_string(cols) + '/' + std::to_string(rounds) + '/' +
                             std::to_string(threads);
    add_benchmark(name, threads, [=](benchmark::State& state) {
        const auto scores = saliency(rows, cols);
        const pare::matrix_view<const float> view(scores.data(), rows, cols);
        pare::thread_pool pool(static_cast<std::size_t>(threads));
        for (auto _ : state) {
            const auto found = value_or_exit(pare::prune::column_order{.rounds = rounds}.search(
                {&view, 1}, pare::prune::n_m<2, 4>{}, pool));
            state.counters["efficacy"] = found.report.efficacy();
        }
    });
}

}  // namespace

// Rounds of the longer search: 0 is gyro as published, 1 has settled.
void register_permutations() {
    for (const int threads : {1, 2}) {
        for (const std::size_t rounds : {0u, 1u}) add_gyro(768, 3072, rounds, threads);
        add_gyro(4096, 4096, 1, threads);
        for (const std::size_t rounds : {0u, 6u}) add_column_order(64, 128, rounds, threads);
        add_column_order(1024, 1024, 0, threads);
    }
}

}  // namespace bench
