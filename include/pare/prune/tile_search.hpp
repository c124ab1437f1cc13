// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PRUNE_TILE_SEARCH_HPP
#define PARE_PRUNE_TILE_SEARCH_HPP

#include "exponential.hpp"
#include "reassignment.hpp"
#include "regrouping.hpp"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

namespace pare::prune::inline PARE_ARCH_NAMESPACE::detail {

/// Which columns a tile of rows keeps, and in what order: a tile and what may be done to it. The
/// memory is made once; every result is the same for any executor.
template <int N, int M>
class tile_search {
  public:
    static result<tile_search> make(std::size_t max_rows, std::size_t cols,
                                    std::size_t kept) noexcept;

    column_tile<N, M> tile;

    /// The input channel permutation of gyro.
    template <executor E, class Stop>
    void reassign(random& draw, E& run, Stop&& stop) noexcept {
        reassignment_.run(tile, draw, run, stop);
    }
    /// Regroups pairs of stripes and takes in other columns until nothing gains.
    template <executor E, class Stop>
    void settle(E& run, Stop&& stop) noexcept {
        regrouping_.run(tile, run, stop);
    }
    /// Simulated annealing by exchanges of two columns, cooled to nothing, then settled. What was
    /// there comes back if it was better, or `stop()` ends it.
    template <executor E, class Stop>
    void anneal(std::size_t n_exchanges, random& draw, E& run, Stop&& stop) noexcept;

  private:
    // Where annealing begins, in units of what exchanging two columns at random changes.
    static constexpr float hot = 0.25f;

    float typical_change(random& draw) const noexcept;

    reassignment reassignment_;
    regrouping regrouping_;
    buffer<std::uint32_t> saved_;  // (slots)
};

template <int N, int M>
result<tile_search<N, M>> tile_search<N, M>::make(std::size_t max_rows, std::size_t cols,
                                                  std::size_t kept) noexcept {
    auto tile = column_tile<N, M>::make(max_rows, cols, kept);
    if (!tile) return tile.error();
    auto reassigning = reassignment::make(max_rows, tile->n_stripes());
    auto regrouping_pairs = regrouping::make(tile->n_stripes());
    auto saved = buffer<std::uint32_t>::make(tile->slots().size());
    if (!reassigning) return reassigning.error();
    if (!regrouping_pairs) return regrouping_pairs.error();
    if (!saved) return saved.error();
    tile_search made;
    made.tile = *std::move(tile);
    made.reassignment_ = *std::move(reassigning);
    made.regrouping_ = *std::move(regrouping_pairs);
    made.saved_ = *std::move(saved);
    return made;
}

// Mean |gain| of exchanges at random.
template <int N, int M>
float tile_search<N, M>::typical_change(random& draw) const noexcept {
    constexpr int n = 64;
    float sum = 0.0f;
    for (int i = 0; i < n; ++i) {
        const std::size_t a = draw.below(tile.kept()), b = tile.slot_of(draw.below(tile.cols()));
        const float gain = a / M == b / M ? 0.0f : tile.exchange_gain(a, b);
        sum += gain < 0.0f ? -gain : gain;
    }
    return sum / n;
}

template <int N, int M>
template <executor E, class Stop>
void tile_search<N, M>::anneal(std::size_t n_exchanges, random& draw, E& run,
                               Stop&& stop) noexcept {
    if (tile.n_stripes() == 0 || tile.cols() <= M) return;
    const double before = tile.retained();
    std::memcpy(saved_.data(), tile.slots().data(), tile.slots().size_bytes());
    const float start = hot * typical_change(draw);
    bool ended = false;
    for (std::size_t i = 0; i < n_exchanges && !ended; ++i) {
        if (i % 64 == 63) ended = stop();
        const std::size_t a = draw.below(tile.kept()), b = tile.slot_of(draw.below(tile.cols()));
        if (a / M == b / M) continue;
        const float temperature =
            start * static_cast<float>(n_exchanges - i) / static_cast<float>(n_exchanges);
        if (tile.exchange_gain(a, b) > -temperature * exponential(draw)) tile.exchange(a, b);
    }
    if (!ended) settle(run, stop);
    if (tile.retained() > before) return;
    std::memcpy(tile.slots().data(), saved_.data(), tile.slots().size_bytes());
    tile.rank_all();
}

}  // namespace pare::prune::inline PARE_ARCH_NAMESPACE::detail

#endif  // PARE_PRUNE_TILE_SEARCH_HPP
