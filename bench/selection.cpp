// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "harness.hpp"

#include <pare/prune/block.hpp>
#include <pare/prune/unaligned_block.hpp>

#include <cmath>

namespace bench {

namespace {

/// Time to choose blocks in a matrix of random scores, 75 % sparse, on one thread.
template <class Pattern>
void add_selection(const std::string& name, std::size_t rows, std::size_t cols) {
    add_benchmark(
        "selection/" + name + '/' + std::to_string(rows) + 'x' + std::to_string(cols) + "/1", 1,
        [=](benchmark::State& state) {
            auto scores = make_buffer<float>(rows * cols);
            pare::random random(1);
            for (float& x : scores.span()) x = std::fabs(random.symmetric());
            const pare::matrix_view<const float> view(scores.data(), rows, cols);
            auto mask = value_or_exit(pare::prune::mask::make(rows, cols));
            for (auto _ : state) {
                const Pattern pattern{0.75f};
                if (!pare::prune::detail::select(pattern, view, mask.view())) std::exit(1);
                benchmark::DoNotOptimize(mask.view().count());
            }
        });
}

}  // namespace

void register_selections() {
    add_selection<pare::prune::unaligned_block<8>>("ubp/8:0.75", 4096, 4096);
    add_selection<pare::prune::unaligned_block<8>>("ubp/8:0.75", 768, 768);
    add_selection<pare::prune::block<8>>("block/8:0.75", 4096, 4096);
}

}  // namespace bench
