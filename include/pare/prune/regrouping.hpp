// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PRUNE_REGROUPING_HPP
#define PARE_PRUNE_REGROUPING_HPP

#include "../core/executor.hpp"
#include "column_tile.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace pare::prune::inline PARE_ARCH_NAMESPACE::detail {

/// Regroups pairs of stripes, and puts columns in place of others that are kept, until no such
/// change gains: Pool and Yu, "Channel Permutations for N:M Sparsity", NeurIPS 2021, for windows of
/// two stripes. Groups of four are parted in all ways, others by the best exchange of two columns.
class regrouping {
  public:
    static result<regrouping> make(std::size_t stripes) noexcept {
        regrouping made;
        bool ok = true;
        make_array(made.changed_, stripes, ok);
        if (!ok) return error{errc::out_of_memory, "regrouping: an allocation failed"};
        return made;
    }

    /// Until nothing gains or `stop()`. Never retains less.
    template <int N, int M, executor E, class Stop>
    void run(column_tile<N, M>& tile, E& run, Stop&& stop) noexcept;

  private:
    // A change must gain this share of what its stripes retain, or it is rounding.
    static constexpr float least_gain = 4e-6f;

    template <int N, int M>
    static bool regroup(column_tile<N, M>& tile, std::size_t a, std::size_t b) noexcept;
    template <int N, int M>
    static bool by_exchange(column_tile<N, M>& tile, std::size_t a, std::size_t b) noexcept;
    template <int N, int M, executor E, class Stop>
    void all_pairs(column_tile<N, M>& tile, E& run, Stop&& stop) noexcept;
    template <int N, int M>
    bool take_in(column_tile<N, M>& tile, std::size_t outside, std::uint64_t since) noexcept;

    std::uint64_t round_ = 0;        // of the tournament
    buffer<std::uint64_t> changed_;  // (stripes) round of the last change
};

template <int N, int M>
bool regrouping::by_exchange(column_tile<N, M>& tile, std::size_t a, std::size_t b) noexcept {
    float best = least_gain * (tile.retained(a) + tile.retained(b));
    std::size_t from = 0, to = 0;
    for (std::size_t i = a * M; i < a * M + tile.width(a); ++i)
        for (std::size_t j = b * M; j < b * M + tile.width(b); ++j) {
            const float gain = tile.exchange_gain(i, j);
            if (gain > best) best = gain, from = i, to = j;
        }
    if (from == to) return false;
    tile.exchange(from, to);
    return true;
}

// a < b, so that only b may be short.
template <int N, int M>
bool regrouping::regroup(column_tile<N, M>& tile, std::size_t a, std::size_t b) noexcept {
    if constexpr (N == M) return false;
    else if constexpr (M != 4) return by_exchange(tile, a, b);
    else {
        std::array<const float*, 8> columns;
        std::array<std::uint32_t, 8> slots;
        for (std::size_t i = 0; i < 4; ++i) {
            slots[i] = tile.slots()[a * 4 + i], slots[4 + i] = tile.slots()[b * 4 + i];
            columns[i] = tile.column(a * 4 + i), columns[4 + i] = tile.column(b * 4 + i);
        }
        std::array<float, 48> kept;
        rank_partings<N>(columns, tile.rows(), kept.data());
        std::size_t best = 0;
        const std::size_t end = 4 + tile.width(b);  // zeros stay where they are
        for (std::size_t k = 1; k < n_partings; ++k)
            if (kept[k] > kept[best] && partings[k].first[3] < end) best = k;
        if (kept[best] <= kept[0] * (1.0f + least_gain)) return false;
        for (std::size_t i = 0; i < 4; ++i) {
            tile.slots()[a * 4 + i] = slots[partings[best].first[i]];
            tile.slots()[b * 4 + i] = slots[partings[best].second[i]];
        }
        tile.rank(a), tile.rank(b);
        return true;
    }
}

// Stripes meet as in a tournament: a round pairs each with another, and n - 1 rounds pair each with
// every other. The pairs of a round have nothing in common, so any executor gives the same result.
// A pair of which neither has changed since it last met is left out.
template <int N, int M, executor E, class Stop>
void regrouping::all_pairs(column_tile<N, M>& tile, E& run, Stop&& stop) noexcept {
    const std::size_t n = tile.n_stripes() + tile.n_stripes() % 2;  // one may have a round off
    if (n < 2) return;
    for (std::uint64_t last = round_; round_ - last < n - 1 && !stop();) {
        const std::uint64_t round = ++round_;
        run.parallel_for(n / 2, 1 + 2560 / (tile.rows() + 1),
                         [&](std::size_t begin, std::size_t end) {
                             for (std::size_t i = begin; i < end; ++i) {
                                 // Player n - 1 stays, the others move round the table.
                                 std::size_t a = (round + i) % (n - 1);
                                 std::size_t b = i == 0 ? n - 1 : (round + n - 1 - i) % (n - 1);
                                 if (a > b) std::swap(a, b);
                                 if (b >= tile.n_stripes()) continue;
                                 const std::uint64_t latest =
                                     changed_[a] > changed_[b] ? changed_[a] : changed_[b];
                                 if (latest + (n - 1) < round) continue;
                                 if (regroup(tile, a, b)) changed_[a] = changed_[b] = round;
                             }
                         });
        for (const std::uint64_t changed : changed_.span()) last = changed > last ? changed : last;
    }
}

// Puts a column that is not kept where it gains most, if it does, among the stripes that changed in
// round `since` or later.
template <int N, int M>
bool regrouping::take_in(column_tile<N, M>& tile, std::size_t outside,
                         std::uint64_t since) noexcept {
    float best = 0.0f;
    std::size_t place = outside;
    for (std::size_t s = 0; s < tile.n_stripes(); ++s) {
        if (changed_[s] < since) continue;
        // No place in the stripe gains more than the column beside all of them less the least loss.
        const float at_most =
            excess_of(tile.column(outside), tile.next(s), tile.rows()) - tile.least_loss(s);
        if (at_most <= best || at_most <= least_gain * tile.retained(s)) continue;
        for (std::size_t i = s * M; i < s * M + tile.width(s); ++i) {
            const float gain = tile.exchange_gain(i, outside);
            if (gain > best && gain > least_gain * tile.retained(s)) best = gain, place = i;
        }
    }
    if (place == outside) return false;
    tile.exchange(place, outside);
    changed_[place / M] = round_;
    return true;
}

template <int N, int M, executor E, class Stop>
void regrouping::run(column_tile<N, M>& tile, E& run, Stop&& stop) noexcept {
    round_ = 0;
    for (std::uint64_t& changed : changed_.span()) changed = 0;
    std::uint64_t since = 0;  // when columns outside last met all stripes
    for (bool changed = true; changed && !stop();) {
        changed = false;
        all_pairs(tile, run, stop);
        for (std::size_t i = tile.kept(); i < tile.cols() && !stop(); ++i)
            // What leaves for the column has met none of the others.
            for (std::uint64_t from = since; take_in(tile, tile.slot_of(i), from); from = 0)
                changed = true;
        since = round_;
    }
}

}  // namespace pare::prune::inline PARE_ARCH_NAMESPACE::detail

#endif  // PARE_PRUNE_REGROUPING_HPP
