// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PRUNE_TILE_SEARCH_HPP
#define PARE_PRUNE_TILE_SEARCH_HPP

#include "../core/buffer.hpp"
#include "../core/executor.hpp"
#include "../core/random.hpp"
#include "assignment.hpp"
#include "exponential.hpp"
#include "keep_vectors.hpp"
#include "stripes.hpp"

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>
#include <utility>

namespace pare::prune::inline PARE_ARCH_NAMESPACE::detail {

/// What a search reads: rows that lie side by side, of scores that are finite and not negative.
inline status check_saliency(matrix_view<const float> scores) noexcept {
    if (scores.col_stride() != 1)
        return error{errc::not_contiguous, "a search reads rows that are contiguous"};
    for (std::size_t r = 0; r < scores.rows(); ++r)
        for (const float x : scores.row_span(r)) {
            if (!is_finite(x))
                return error{errc::not_a_number, "a saliency score is NaN or infinite", r};
            if (x < 0.0f) return error{errc::invalid_argument, "a saliency score is negative", r};
        }
    return {};
}

/// A power of two that brings the largest score near 1, so that sums and squares stay finite, and
/// what is small does not vanish, whatever the unit of the saliency.
inline float unit_of(std::span<const matrix_view<const float>> layers) noexcept {
    std::uint32_t largest = 0;
    for (const auto& scores : layers)
        for (std::size_t r = 0; r < scores.rows(); ++r)
            for (const float x : scores.row_span(r)) {
                const std::uint32_t bits = std::bit_cast<std::uint32_t>(x) & 0x7fffffffu;
                largest = bits > largest ? bits : largest;
            }
    const int exponent = static_cast<int>(largest >> 23) - 127;
    const int back = exponent > 100 ? -100 : exponent < -100 ? 100 : -exponent;
    return std::bit_cast<float>(static_cast<std::uint32_t>(127 + back) << 23);
}

/// Which columns a tile of rows keeps, and in what order, so that N:M keeps most of its scores,
/// which are >= 0. Stripe s is made of slots s M to s M + M - 1; columns that are not kept follow
/// the last stripe. A last stripe that is short is filled up with a column of zeros, which stays at
/// its end. The memory is made once; every result is the same for any executor.
template <int N, int M>
class tile_search {
  public:
    static result<tile_search> make(std::size_t max_rows, std::size_t cols,
                                    std::size_t kept) noexcept;

    /// Begins with n_rows rows of zeros, then copies some rows of the scores to the first of them,
    /// or all to `first` onward, multiplied by `scale`. To be followed by keep_best() or place().
    void start(std::size_t n_rows, float scale) noexcept;
    void read(matrix_view<const float> scores, std::span<const std::uint32_t> rows) noexcept;
    void read(matrix_view<const float> scores, std::size_t first) noexcept;

    /// Keeps the columns of the largest sums, ascending.
    void keep_best() noexcept;
    /// Keeps these, in this order.
    void place(std::span<const std::uint32_t> columns) noexcept;
    std::span<const std::uint32_t> columns() const noexcept { return slots_.span().first(kept_); }

    /// The sum of all scores that N:M keeps.
    double retained() const noexcept {
        double sum = 0.0;
        for (const float x : retained_.span()) sum += static_cast<double>(x);
        return sum;
    }
    /// Every score read, in no order, with zeros between.
    std::span<const float> scores() const noexcept { return scores_.span().first(cols_ * rows_); }

    /// Takes a column from every stripe and gives each to the stripe where all together gain most.
    /// @return whether more is retained; if not, nothing has changed
    template <executor E>
    bool reassign(random& draw, E& run) noexcept;

    /// The input channel permutation of gyro: reassigns until the third failure.
    template <executor E, class Stop>
    void reassign_all(random& draw, E& run, Stop&& stop) noexcept;

    /// Regroups pairs of stripes, and puts columns in place of others that are kept, until no such
    /// change gains or `stop()`. Never retains less.
    template <executor E, class Stop>
    void settle(E& run, Stop&& stop) noexcept;

    /// Simulated annealing by exchanges of two columns, cooled to nothing, then settled. What was
    /// there comes back if it was better, or `stop()` ends it.
    template <executor E, class Stop>
    void anneal(std::size_t n_exchanges, random& draw, E& run, Stop&& stop) noexcept;

  private:
    // A change must gain this share of what its stripes retain, or it is rounding.
    static constexpr float least_gain = 4e-6f;
    // Where annealing begins, in units of what exchanging two columns at random changes.
    static constexpr float hot = 0.25f;

    std::size_t slots_of_stripes() const noexcept { return n_stripes_ * M; }
    // The slot of the i-th column, of a last stripe's zeros none.
    std::size_t slot_of(std::size_t i) const noexcept {
        return i < kept_ ? i : i + slots_of_stripes() - kept_;
    }
    // Slots of a stripe that hold a column.
    std::size_t width(std::size_t stripe) const noexcept {
        const std::size_t left = kept_ - stripe * M;
        return left < M ? left : M;
    }
    const float* column(std::size_t slot) const noexcept {
        return scores_.data() + slots_[slot] * rows_;
    }
    float* nth(std::size_t stripe) noexcept { return nth_.data() + stripe * rows_; }
    float* next(std::size_t stripe) noexcept { return next_.data() + stripe * rows_; }

    void rank(std::size_t stripe) noexcept;
    void rank_all() noexcept {
        for (std::size_t s = 0; s < n_stripes_; ++s) rank(s);
    }
    template <executor E>
    void weigh_samples(E& run) noexcept;
    float exchange_gain(std::size_t a, std::size_t b) noexcept;
    void exchange(std::size_t a, std::size_t b) noexcept;
    float typical_change(random& draw) noexcept;
    bool regroup(std::size_t a, std::size_t b) noexcept;
    bool regroup_by_exchange(std::size_t a, std::size_t b) noexcept;
    template <executor E, class Stop>
    void regroup_all(E& run, Stop&& stop) noexcept;
    bool take_in(std::size_t outside) noexcept;

    std::size_t rows_ = 0, cols_ = 0, kept_ = 0, n_stripes_ = 0;
    float scale_ = 1.0f;
    std::uint64_t round_ = 0;                 // of the tournament
    buffer<float> scores_;                    // (cols + 1, rows) column by column, the last zeros
    buffer<float> nth_, next_;                // (stripes, rows) see rank_stripe()
    buffer<float> retained_, least_loss_;     // (stripes) the latter of leaving out one column
    buffer<std::uint32_t> slots_, saved_;     // (slots) column of each
    buffer<std::uint32_t> is_kept_;           // (cols)
    buffer<std::uint32_t> sample_, goes_to_;  // (stripes) slot; stripe whose place a sample takes
    buffer<std::uint64_t> changed_;           // (stripes) round of the last change
    buffer<float> samples_;                   // (stripes, padded, rows)
    buffer<float> costs_;                     // (stripes, stripes padded)
    assignment solver_;
};

template <int N, int M>
result<tile_search<N, M>> tile_search<N, M>::make(std::size_t max_rows, std::size_t cols,
                                                  std::size_t kept) noexcept {
    tile_search made;
    made.cols_ = cols;
    made.kept_ = kept;
    made.n_stripes_ = (kept + M - 1) / M;
    const std::size_t rows = padded_to_lanes(max_rows == 0 ? 1 : max_rows),
                      stripes = made.n_stripes_;
    bool ok = true;
    const auto grow = [&](auto& memory, std::size_t size) {
        auto grown = std::remove_reference_t<decltype(memory)>::make(size);
        if (grown) memory = *std::move(grown);
        ok = ok && grown;
    };
    grow(made.scores_, (cols + 1) * rows);
    grow(made.nth_, stripes * rows);
    grow(made.next_, stripes * rows);
    grow(made.retained_, stripes);
    grow(made.slots_, stripes * M + cols - kept);
    grow(made.is_kept_, cols);
    grow(made.saved_, stripes * M + cols - kept);
    grow(made.least_loss_, stripes);
    grow(made.samples_, padded_to_lanes(stripes) * rows);
    grow(made.sample_, stripes);
    grow(made.goes_to_, stripes);
    grow(made.changed_, stripes);
    grow(made.costs_, stripes * padded_to_lanes(stripes));
    auto solver = assignment::make(stripes, stripes);
    if (!ok || !solver) return error{errc::out_of_memory, "tile_search: an allocation failed"};
    made.solver_ = *std::move(solver);
    return made;
}

template <int N, int M>
void tile_search<N, M>::start(std::size_t n_rows, float scale) noexcept {
    scale_ = scale;
    rows_ = padded_to_lanes(n_rows == 0 ? 1 : n_rows);
    round_ = 0;
    std::memset(scores_.data(), 0, (cols_ + 1) * rows_ * sizeof(float));
}

template <int N, int M>
void tile_search<N, M>::read(matrix_view<const float> scores,
                             std::span<const std::uint32_t> rows) noexcept {
    for (std::size_t c = 0; c < cols_; ++c)
        for (std::size_t i = 0; i < rows.size(); ++i)
            scores_[c * rows_ + i] = scale_ * scores(rows[i], c);
}

template <int N, int M>
void tile_search<N, M>::read(matrix_view<const float> scores, std::size_t first) noexcept {
    for (std::size_t c = 0; c < cols_; ++c)
        for (std::size_t r = 0; r < scores.rows(); ++r)
            scores_[c * rows_ + first + r] = scale_ * scores(r, c);
}

template <int N, int M>
void tile_search<N, M>::keep_best() noexcept {
    std::size_t in = 0, out = slots_of_stripes();
    const auto sums = [&](std::size_t begin, std::span<double> to) {
        for (std::size_t i = 0; i < to.size(); ++i) {
            to[i] = 0.0;
            for (std::size_t r = 0; r < rows_; ++r)
                to[i] += static_cast<double>(scores_[(begin + i) * rows_ + r]);
        }
    };
    for_each_vector(cols_, kept_, sums, [&](std::size_t c, bool keep) {
        slots_[keep ? in++ : out++] = static_cast<std::uint32_t>(c);
    });
    while (in < slots_of_stripes()) slots_[in++] = static_cast<std::uint32_t>(cols_);
    rank_all();
}

template <int N, int M>
void tile_search<N, M>::place(std::span<const std::uint32_t> columns) noexcept {
    for (std::size_t c = 0; c < cols_; ++c) is_kept_[c] = 0;
    for (std::size_t i = 0; i < kept_; ++i) is_kept_[columns[i]] = 1, slots_[i] = columns[i];
    std::size_t out = slots_of_stripes();
    for (std::size_t i = kept_; i < out; ++i) slots_[i] = static_cast<std::uint32_t>(cols_);
    for (std::size_t c = 0; c < cols_; ++c)
        if (is_kept_[c] == 0) slots_[out++] = static_cast<std::uint32_t>(c);
    rank_all();
}

template <int N, int M>
void tile_search<N, M>::rank(std::size_t stripe) noexcept {
    stripe_columns<M> columns;
    for (std::size_t i = 0; i < M; ++i) columns[i] = column(stripe * M + i);
    retained_[stripe] = rank_stripe<N, M>(columns, rows_, nth(stripe), next(stripe));
    float least = retained_[stripe];
    for (std::size_t i = 0; i < width(stripe); ++i) {
        const float loss = excess_of(columns[i], next(stripe), rows_);
        least = loss < least ? loss : least;
    }
    least_loss_[stripe] = least;
}

// costs_(s, q) = minus what stripe s gains when the sample of stripe q takes the place of its own.
template <int N, int M>
template <executor E>
void tile_search<N, M>::weigh_samples(E& run) noexcept {
    for (std::size_t s = 0; s < n_stripes_; ++s)
        std::memcpy(samples_.data() + s * rows_, column(sample_[s]), rows_ * sizeof(float));
    const std::size_t stride = padded_to_lanes(n_stripes_);
    const std::size_t grain = 1 + 80000 / (n_stripes_ * rows_ + 1);
    run.parallel_for(n_stripes_, grain, [&](std::size_t begin, std::size_t end) {
        for (std::size_t s = begin; s < end; ++s)
            for (std::size_t q = 0; q < stride; q += n_lanes) {
                std::array<lanes, n_lanes> gains{};
                for (std::size_t r = 0; r < rows_; r += n_lanes) {
                    lanes own, n, m, threshold, x;
                    load(own, samples_.data() + s * rows_ + r);
                    load(n, nth(s) + r), load(m, next(s) + r);
                    threshold_without(threshold, own, n, m);
                    for (std::size_t i = 0; i < n_lanes; ++i) {
                        load(x, samples_.data() + (q + i) * rows_ + r);
                        add_excess(gains[i], x, threshold);
                    }
                }
                lanes all;
                sums_of(all, gains);
                store(costs_.data() + s * stride + q, -all);
            }
    });
}

template <int N, int M>
template <executor E>
bool tile_search<N, M>::reassign(random& draw, E& run) noexcept {
    for (std::size_t s = 0; s < n_stripes_; ++s)
        sample_[s] = static_cast<std::uint32_t>(s * M + draw.below(width(s)));
    weigh_samples(run);
    if (!solver_.solve({costs_.data(), n_stripes_, n_stripes_, padded_to_lanes(n_stripes_)},
                       goes_to_.span()))
        return false;  // costs that are not finite
    const auto rank_changed = [&] {
        for (std::size_t s = 0; s < n_stripes_; ++s)
            if (goes_to_[s] != s) rank(s);
    };
    const double before = retained();
    for (std::size_t s = 0; s < n_stripes_; ++s) saved_[s] = slots_[sample_[s]];
    for (std::size_t s = 0; s < n_stripes_; ++s) slots_[sample_[s]] = saved_[goes_to_[s]];
    rank_changed();
    if (retained() > before) return true;
    for (std::size_t s = 0; s < n_stripes_; ++s) slots_[sample_[s]] = saved_[s];
    rank_changed();
    return false;
}

template <int N, int M>
template <executor E, class Stop>
void tile_search<N, M>::reassign_all(random& draw, E& run, Stop&& stop) noexcept {
    for (int failures = 0; failures < 3 && n_stripes_ > 1 && !stop();)
        failures += !reassign(draw, run);
}

// Of slots a, of a stripe, and b, of another stripe or outside.
template <int N, int M>
float tile_search<N, M>::exchange_gain(std::size_t a, std::size_t b) noexcept {
    const float gain = replacing_gain(column(a), column(b), nth(a / M), next(a / M), rows_);
    if (b >= slots_of_stripes()) return gain;
    return gain + replacing_gain(column(b), column(a), nth(b / M), next(b / M), rows_);
}

template <int N, int M>
void tile_search<N, M>::exchange(std::size_t a, std::size_t b) noexcept {
    std::swap(slots_[a], slots_[b]);
    rank(a / M);
    if (b < slots_of_stripes()) rank(b / M);
}

template <int N, int M>
bool tile_search<N, M>::regroup_by_exchange(std::size_t a, std::size_t b) noexcept {
    float best = least_gain * (retained_[a] + retained_[b]);
    std::size_t from = 0, to = 0;
    for (std::size_t i = a * M; i < a * M + width(a); ++i)
        for (std::size_t j = b * M; j < b * M + width(b); ++j) {
            const float gain = exchange_gain(i, j);
            if (gain > best) best = gain, from = i, to = j;
        }
    if (from == to) return false;
    exchange(from, to);
    return true;
}

// a < b, so that only b may be short.
template <int N, int M>
bool tile_search<N, M>::regroup(std::size_t a, std::size_t b) noexcept {
    if constexpr (N == M) return false;
    else if constexpr (M != 4) return regroup_by_exchange(a, b);
    else {
        std::array<const float*, 8> columns;
        std::array<std::uint32_t, 8> slots;
        for (std::size_t i = 0; i < 4; ++i) {
            slots[i] = slots_[a * 4 + i], slots[4 + i] = slots_[b * 4 + i];
            columns[i] = column(a * 4 + i), columns[4 + i] = column(b * 4 + i);
        }
        std::array<float, 48> kept;
        rank_partings<N>(columns, rows_, kept.data());
        std::size_t best = 0;
        const std::size_t end = 4 + width(b);  // zeros stay where they are
        for (std::size_t k = 1; k < n_partings; ++k)
            if (kept[k] > kept[best] && partings[k].first[3] < end) best = k;
        if (kept[best] <= kept[0] * (1.0f + least_gain)) return false;
        for (std::size_t i = 0; i < 4; ++i) {
            slots_[a * 4 + i] = slots[partings[best].first[i]];
            slots_[b * 4 + i] = slots[partings[best].second[i]];
        }
        rank(a), rank(b);
        return true;
    }
}

// Stripes meet as in a tournament: a round pairs each with another, and n - 1 rounds pair each with
// every other. The pairs of a round have nothing in common, so any executor gives the same result.
// A pair of which neither has changed since it last met is left out.
template <int N, int M>
template <executor E, class Stop>
void tile_search<N, M>::regroup_all(E& run, Stop&& stop) noexcept {
    const std::size_t n = n_stripes_ + n_stripes_ % 2;  // one may have a round off
    if (n < 2) return;
    for (std::uint64_t last = round_; round_ - last < n - 1 && !stop();) {
        const std::uint64_t round = ++round_;
        run.parallel_for(n / 2, 1 + 2560 / (rows_ + 1), [&](std::size_t begin, std::size_t end) {
            for (std::size_t i = begin; i < end; ++i) {
                // Player n - 1 stays, the others move round the table.
                std::size_t a = (round + i) % (n - 1);
                std::size_t b = i == 0 ? n - 1 : (round + n - 1 - i) % (n - 1);
                if (a > b) std::swap(a, b);
                if (b >= n_stripes_) continue;
                const std::uint64_t latest = changed_[a] > changed_[b] ? changed_[a] : changed_[b];
                if (latest + (n - 1) < round) continue;
                if (regroup(a, b)) changed_[a] = changed_[b] = round;
            }
        });
        for (const std::uint64_t changed : changed_.span()) last = changed > last ? changed : last;
    }
}

// Puts a column that is not kept where it gains most, if it does.
template <int N, int M>
bool tile_search<N, M>::take_in(std::size_t outside) noexcept {
    float best = 0.0f;
    std::size_t place = outside;
    for (std::size_t s = 0; s < n_stripes_; ++s) {
        // No place in the stripe gains more than the column beside all of them less the least loss.
        const float at_most = excess_of(column(outside), next(s), rows_) - least_loss_[s];
        if (at_most <= best || at_most <= least_gain * retained_[s]) continue;
        for (std::size_t i = s * M; i < s * M + width(s); ++i) {
            const float gain = exchange_gain(i, outside);
            if (gain > best && gain > least_gain * retained_[s]) best = gain, place = i;
        }
    }
    if (place == outside) return false;
    exchange(place, outside);
    changed_[place / M] = round_;
    return true;
}

template <int N, int M>
template <executor E, class Stop>
void tile_search<N, M>::settle(E& run, Stop&& stop) noexcept {
    for (std::uint64_t& changed : changed_.span()) changed = round_;
    for (bool changed = true; changed && !stop();) {
        changed = false;
        regroup_all(run, stop);
        for (std::size_t i = kept_; i < cols_ && !stop(); ++i)
            changed = take_in(slot_of(i)) || changed;
    }
}

// Mean |gain| of exchanges at random.
template <int N, int M>
float tile_search<N, M>::typical_change(random& draw) noexcept {
    constexpr int n = 64;
    float sum = 0.0f;
    for (int i = 0; i < n; ++i) {
        const std::size_t a = draw.below(kept_), b = slot_of(draw.below(cols_));
        const float gain = a / M == b / M ? 0.0f : exchange_gain(a, b);
        sum += gain < 0.0f ? -gain : gain;
    }
    return sum / n;
}

template <int N, int M>
template <executor E, class Stop>
void tile_search<N, M>::anneal(std::size_t n_exchanges, random& draw, E& run,
                               Stop&& stop) noexcept {
    if (n_stripes_ == 0 || cols_ <= M) return;
    const double before = retained();
    std::memcpy(saved_.data(), slots_.data(), slots_.span().size_bytes());
    const float start = hot * typical_change(draw);
    bool ended = false;
    for (std::size_t i = 0; i < n_exchanges && !ended; ++i) {
        if (i % 64 == 63) ended = stop();
        const std::size_t a = draw.below(kept_), b = slot_of(draw.below(cols_));
        if (a / M == b / M) continue;
        const float temperature =
            start * static_cast<float>(n_exchanges - i) / static_cast<float>(n_exchanges);
        if (exchange_gain(a, b) > -temperature * exponential(draw)) exchange(a, b);
    }
    if (!ended) settle(run, stop);
    if (retained() > before) return;
    std::memcpy(slots_.data(), saved_.data(), slots_.span().size_bytes());
    rank_all();
}

}  // namespace pare::prune::inline PARE_ARCH_NAMESPACE::detail

#endif  // PARE_PRUNE_TILE_SEARCH_HPP
