// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PRUNE_REASSIGNMENT_HPP
#define PARE_PRUNE_REASSIGNMENT_HPP

#include "../core/executor.hpp"
#include "../core/random.hpp"
#include "assignment.hpp"
#include "column_tile.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

namespace pare::prune::inline PARE_ARCH_NAMESPACE::detail {

/// The input channel permutation of gyro: takes a column from every stripe and gives each to the
/// stripe where all together gain most. The memory is made once.
class reassignment {
  public:
    static result<reassignment> make(std::size_t max_rows, std::size_t stripes) noexcept;

    /// @return whether more is retained; if not, nothing has changed
    template <int N, int M, executor E>
    bool step(column_tile<N, M>& tile, random& draw, E& run) noexcept;

    /// Steps until the third failure, or `stop()`.
    template <int N, int M, executor E, class Stop>
    void run(column_tile<N, M>& tile, random& draw, E& run, Stop&& stop) noexcept {
        for (int failures = 0; failures < 3 && tile.n_stripes() > 1 && !stop();)
            failures += !step(tile, draw, run);
    }

  private:
    template <int N, int M, executor E>
    void weigh(const column_tile<N, M>& tile, E& run) noexcept;

    buffer<std::uint32_t> sample_, goes_to_;  // (stripes) slot; stripe whose sample it gets
    buffer<std::uint32_t> before_;            // (stripes)
    buffer<float> samples_;                   // (stripes padded, rows)
    buffer<float> costs_;                     // (stripes, stripes padded)
    assignment solver_;
};

inline result<reassignment> reassignment::make(std::size_t max_rows, std::size_t stripes) noexcept {
    reassignment made;
    const std::size_t rows = padded_to_lanes(max_rows == 0 ? 1 : max_rows);
    bool ok = true;
    make_array(made.sample_, stripes, ok);
    make_array(made.goes_to_, stripes, ok);
    make_array(made.before_, stripes, ok);
    make_array(made.samples_, padded_to_lanes(stripes) * rows, ok);
    make_array(made.costs_, stripes * padded_to_lanes(stripes), ok);
    auto solver = assignment::make(stripes, stripes);
    if (!ok || !solver) return error{errc::out_of_memory, "reassignment: an allocation failed"};
    made.solver_ = *std::move(solver);
    return made;
}

// costs_(s, q) = minus what stripe s gains when the sample of stripe q takes the place of its own.
template <int N, int M, executor E>
void reassignment::weigh(const column_tile<N, M>& tile, E& run) noexcept {
    for (std::size_t s = 0; s < tile.n_stripes(); ++s)
        std::memcpy(samples_.data() + s * tile.rows(), tile.column(sample_[s]),
                    tile.rows() * sizeof(float));
    const std::size_t stride = padded_to_lanes(tile.n_stripes());
    const std::size_t grain = 1 + 80000 / (tile.n_stripes() * tile.rows() + 1);
    run.parallel_for(tile.n_stripes(), grain, [&](std::size_t begin, std::size_t end) {
        for (std::size_t s = begin; s < end; ++s)
            for (std::size_t q = 0; q < stride; q += n_lanes) {
                std::array<lanes, n_lanes> gains{};
                for (std::size_t r = 0; r < tile.rows(); r += n_lanes) {
                    lanes own, n, m, threshold, x;
                    load(own, samples_.data() + s * tile.rows() + r);
                    load(n, tile.nth(s) + r), load(m, tile.next(s) + r);
                    threshold_without(threshold, own, n, m);
                    for (std::size_t i = 0; i < n_lanes; ++i) {
                        load(x, samples_.data() + (q + i) * tile.rows() + r);
                        add_excess(gains[i], x, threshold);
                    }
                }
                lanes all;
                sums_of(all, gains);
                store(costs_.data() + s * stride + q, -all);
            }
    });
}

template <int N, int M, executor E>
bool reassignment::step(column_tile<N, M>& tile, random& draw, E& run) noexcept {
    for (std::size_t s = 0; s < tile.n_stripes(); ++s)
        sample_[s] = static_cast<std::uint32_t>(s * M + draw.below(tile.width(s)));
    weigh(tile, run);
    if (!solver_.solve(
            {costs_.data(), tile.n_stripes(), tile.n_stripes(), padded_to_lanes(tile.n_stripes())},
            goes_to_.span().first(tile.n_stripes())))
        return false;  // costs that are not finite
    const auto rank_changed = [&] {
        for (std::size_t s = 0; s < tile.n_stripes(); ++s)
            if (goes_to_[s] != s) tile.rank(s);
    };
    const double before = tile.retained();
    for (std::size_t s = 0; s < tile.n_stripes(); ++s) before_[s] = tile.slots()[sample_[s]];
    for (std::size_t s = 0; s < tile.n_stripes(); ++s)
        tile.slots()[sample_[s]] = before_[goes_to_[s]];
    rank_changed();
    if (tile.retained() > before) return true;
    for (std::size_t s = 0; s < tile.n_stripes(); ++s) tile.slots()[sample_[s]] = before_[s];
    rank_changed();
    return false;
}

}  // namespace pare::prune::inline PARE_ARCH_NAMESPACE::detail

#endif  // PARE_PRUNE_REASSIGNMENT_HPP
