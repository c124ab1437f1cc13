// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PRUNE_STRIPES_HPP
#define PARE_PRUNE_STRIPES_HPP

#include "lanes.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>

/// What N:M keeps of a stripe: M columns that form one group in every row of a tile. Columns are
/// arrays of `rows` scores >= 0, rows a multiple of n_lanes.
namespace pare::prune::inline PARE_ARCH_NAMESPACE::detail {

template <int M>
using stripe_columns = std::array<const float*, std::size_t{M}>;

/// nth[r] and next[r]: the N-th and the N+1-th largest score of row r, 0 where there is none.
/// @return the sum of what is kept
template <int N, int M>
float rank_stripe(const stripe_columns<M>& columns, std::size_t rows, float* nth,
                  float* next) noexcept {
    lanes total{};
    for (std::size_t r = 0; r < rows; r += n_lanes) {
        std::array<lanes, std::size_t{N} + 1> best{};  // descending
        for (std::size_t i = 0; i < std::size_t{M}; ++i) {
            lanes x, larger;
            load(x, columns[i] + r);
            for (lanes& b : best) {
                max_of(larger, b, x);
                min_of(x, b, x);
                b = larger;
            }
        }
        for (std::size_t i = 0; i < std::size_t{N}; ++i) total += best[i];
        store(nth + r, best[std::size_t{N} - 1]);
        store(next + r, best[std::size_t{N}]);
    }
    return sum_of(total);
}

/// What a column adds to a stripe from which another was taken, row by row: whatever exceeds the
/// N-th largest of those that remain, which is `next` where the other was kept, `nth` where not.
PARE_ALWAYS_INLINE inline void threshold_without(lanes& to, const lanes& removed, const lanes& nth,
                                                 const lanes& next) noexcept {
    const lane_bits x = reinterpret_cast<lane_bits>(removed);
    const lane_bits after = reinterpret_cast<lane_bits>(next);
    to = reinterpret_cast<lanes>(x > after ? after : reinterpret_cast<lane_bits>(nth));
}

/// to += max(x - least, 0)
PARE_ALWAYS_INLINE inline void add_excess(lanes& to, const lanes& x, const lanes& least) noexcept {
    lanes excess;
    max_of(excess, x - least, lanes{});
    to += excess;
}

/// sum max(x - least, 0): what a column is worth above the others of a stripe.
inline float excess_of(const float* x, const float* least, std::size_t rows) noexcept {
    lanes sum{}, a, b;
    for (std::size_t r = 0; r < rows; r += n_lanes) {
        load(a, x + r), load(b, least + r);
        add_excess(sum, a, b);
    }
    return sum_of(sum);
}

/// The gain of putting `added` in the place of `removed`, a column of the stripe.
inline float replacing_gain(const float* removed, const float* added, const float* nth,
                            const float* next, std::size_t rows) noexcept {
    lanes gain{}, loss{};
    for (std::size_t r = 0; r < rows; r += n_lanes) {
        lanes x, y, n, m, threshold;
        load(x, removed + r), load(y, added + r), load(n, nth + r), load(m, next + r);
        threshold_without(threshold, x, n, m);
        add_excess(gain, y, threshold);
        add_excess(loss, x, m);
    }
    return sum_of(gain - loss);
}

// The ways to part 8 columns into two fours: the four with column 0, then the others, ascending.
struct parting {
    std::array<std::uint8_t, 4> first, second;
};
inline constexpr std::size_t n_partings = 35;
inline constexpr std::array<parting, n_partings> partings = [] {
    std::array<parting, n_partings> all{};
    std::size_t n = 0;
    for (unsigned set = 1; set < 256; set += 2) {
        parting p{};
        std::size_t n_first = 0, n_second = 0;
        for (std::uint8_t i = 0; i < 8; ++i) {
            if ((set >> i & 1) != 0 && n_first < 4) p.first[n_first++] = i;
            else if ((set >> i & 1) == 0 && n_second < 4) p.second[n_second++] = i;
        }
        if (n_first == 4 && n_second == 4) all[n++] = p;
    }
    return all;
}();
static_assert(partings[0].first == std::array<std::uint8_t, 4>{0, 1, 2, 3});

// Pairs (i, j), i < j < 8, in the order (0, 1), (0, 2), (1, 2), (0, 3) ...
constexpr std::size_t pair_index(std::size_t i, std::size_t j) noexcept {
    return j * (j - 1) / 2 + i;
}

/// Adds what N:4 keeps of columns a < b < c < d, given for each pair the sum and the maximum.
template <int N, std::size_t A, std::size_t B, std::size_t C, std::size_t D>
PARE_ALWAYS_INLINE inline void add_kept_of_four(lanes& to, const std::array<lanes, 28>& sum,
                                                const std::array<lanes, 28>& most) noexcept {
    constexpr std::size_t ab = pair_index(A, B), cd = pair_index(C, D);
    lanes kept;
    if constexpr (N == 1) max_of(kept, most[ab], most[cd]);
    else if constexpr (N == 2) {
        max_of(kept, sum[ab], sum[cd]);
        max_of(kept, kept, most[ab] + most[cd]);
    } else {
        min_of(kept, sum[ab] - most[ab], sum[cd] - most[cd]);
        kept = sum[ab] + sum[cd] - kept;
    }
    to += kept;
}

/// kept[k] = what N:4 keeps of 8 columns parted in the k-th way. kept has room for 48.
template <int N>
void rank_partings(const std::array<const float*, 8>& columns, std::size_t rows,
                   float* kept) noexcept {
    std::array<std::array<lanes, n_lanes>, 3> totals{};
    for (std::size_t r = 0; r < rows; r += n_lanes) {
        std::array<lanes, 28> sum, most;
        std::array<lanes, 8> x;
        for (std::size_t i = 0; i < 8; ++i) load(x[i], columns[i] + r);
        for (std::size_t j = 1; j < 8; ++j)
            for (std::size_t i = 0; i < j; ++i) {
                sum[pair_index(i, j)] = x[i] + x[j];
                max_of(most[pair_index(i, j)], x[i], x[j]);
            }
        [&]<std::size_t... K>(std::index_sequence<K...>) {
            ((add_kept_of_four<N, partings[K].first[0], partings[K].first[1], partings[K].first[2],
                               partings[K].first[3]>(totals[K / n_lanes][K % n_lanes], sum, most),
              add_kept_of_four<N, partings[K].second[0], partings[K].second[1],
                               partings[K].second[2], partings[K].second[3]>(
                  totals[K / n_lanes][K % n_lanes], sum, most)),
             ...);
        }
        (std::make_index_sequence<n_partings>{});
    }
    for (std::size_t i = 0; i < 3; ++i) {
        lanes all;
        sums_of(all, totals[i]);
        store(kept + i * n_lanes, all);
    }
}

}  // namespace pare::prune::inline PARE_ARCH_NAMESPACE::detail

#endif  // PARE_PRUNE_STRIPES_HPP
