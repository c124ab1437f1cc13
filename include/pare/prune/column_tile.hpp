// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PRUNE_COLUMN_TILE_HPP
#define PARE_PRUNE_COLUMN_TILE_HPP

#include "keep_vectors.hpp"
#include "search_input.hpp"
#include "stripes.hpp"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <utility>

namespace pare::prune::inline PARE_ARCH_NAMESPACE::detail {

/// The columns of a tile of rows in some order, and what N:M keeps of their scores, which are >= 0.
/// Stripe s is made of slots s M to s M + M - 1; columns that are not kept follow the last stripe.
/// A last stripe that is short is filled up with a column of zeros, which stays at its end.
template <int N, int M>
class column_tile {
  public:
    static result<column_tile> make(std::size_t max_rows, std::size_t cols,
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

    std::size_t rows() const noexcept { return rows_; }  ///< a multiple of n_lanes
    std::size_t cols() const noexcept { return cols_; }
    std::size_t kept() const noexcept { return kept_; }
    std::size_t n_stripes() const noexcept { return n_stripes_; }
    /// The slot of the i-th column: those of a last stripe's zeros are left out.
    std::size_t slot_of(std::size_t i) const noexcept {
        return i < kept_ ? i : i + n_stripes_ * M - kept_;
    }
    /// Slots of a stripe that hold a column.
    std::size_t width(std::size_t stripe) const noexcept {
        const std::size_t left = kept_ - stripe * M;
        return left < M ? left : M;
    }

    /// (slots) the column of each. Whoever writes them calls rank() for the stripes concerned.
    std::span<std::uint32_t> slots() noexcept { return slots_.span(); }
    const float* column(std::size_t slot) const noexcept {
        return scores_.data() + slots_[slot] * rows_;
    }
    void rank(std::size_t stripe) noexcept;
    void rank_all() noexcept {
        for (std::size_t s = 0; s < n_stripes_; ++s) rank(s);
    }
    /// Thresholds of a stripe's rows: see rank_stripe().
    const float* nth(std::size_t stripe) const noexcept { return nth_.data() + stripe * rows_; }
    const float* next(std::size_t stripe) const noexcept { return next_.data() + stripe * rows_; }
    float retained(std::size_t stripe) const noexcept { return retained_[stripe]; }
    /// Of leaving out the column of the stripe that loses least.
    float least_loss(std::size_t stripe) const noexcept { return least_loss_[stripe]; }

    /// Of slots a, of a stripe, and b, of another stripe or of none.
    float exchange_gain(std::size_t a, std::size_t b) const noexcept;
    void exchange(std::size_t a, std::size_t b) noexcept;

  private:
    std::size_t rows_ = 0, cols_ = 0, kept_ = 0, n_stripes_ = 0;
    float scale_ = 1.0f;
    buffer<float> scores_;                 // (cols + 1, rows) column by column, the last zeros
    buffer<float> nth_, next_;             // (stripes, rows)
    buffer<float> retained_, least_loss_;  // (stripes)
    buffer<std::uint32_t> slots_;          // (slots)
    buffer<std::uint32_t> is_kept_;        // (cols)
};

template <int N, int M>
result<column_tile<N, M>> column_tile<N, M>::make(std::size_t max_rows, std::size_t cols,
                                                  std::size_t kept) noexcept {
    column_tile made;
    made.cols_ = cols;
    made.kept_ = kept;
    made.n_stripes_ = (kept + M - 1) / M;
    const std::size_t rows = padded_to_lanes(max_rows == 0 ? 1 : max_rows);
    bool ok = true;
    make_array(made.scores_, (cols + 1) * rows, ok);
    make_array(made.nth_, made.n_stripes_ * rows, ok);
    make_array(made.next_, made.n_stripes_ * rows, ok);
    make_array(made.retained_, made.n_stripes_, ok);
    make_array(made.least_loss_, made.n_stripes_, ok);
    make_array(made.slots_, made.n_stripes_ * M + cols - kept, ok);
    make_array(made.is_kept_, cols, ok);
    if (!ok) return error{errc::out_of_memory, "column_tile: an allocation failed"};
    return made;
}

template <int N, int M>
void column_tile<N, M>::start(std::size_t n_rows, float scale) noexcept {
    scale_ = scale;
    rows_ = padded_to_lanes(n_rows == 0 ? 1 : n_rows);
    std::memset(scores_.data(), 0, (cols_ + 1) * rows_ * sizeof(float));
}

template <int N, int M>
void column_tile<N, M>::read(matrix_view<const float> scores,
                             std::span<const std::uint32_t> rows) noexcept {
    for (std::size_t c = 0; c < cols_; ++c)
        for (std::size_t i = 0; i < rows.size(); ++i)
            scores_[c * rows_ + i] = scale_ * scores(rows[i], c);
}

template <int N, int M>
void column_tile<N, M>::read(matrix_view<const float> scores, std::size_t first) noexcept {
    for (std::size_t c = 0; c < cols_; ++c)
        for (std::size_t r = 0; r < scores.rows(); ++r)
            scores_[c * rows_ + first + r] = scale_ * scores(r, c);
}

template <int N, int M>
void column_tile<N, M>::keep_best() noexcept {
    std::size_t in = 0, out = n_stripes_ * M;
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
    while (in < n_stripes_ * M) slots_[in++] = static_cast<std::uint32_t>(cols_);
    rank_all();
}

template <int N, int M>
void column_tile<N, M>::place(std::span<const std::uint32_t> columns) noexcept {
    for (std::size_t c = 0; c < cols_; ++c) is_kept_[c] = 0;
    for (std::size_t i = 0; i < kept_; ++i) is_kept_[columns[i]] = 1, slots_[i] = columns[i];
    std::size_t out = n_stripes_ * M;
    for (std::size_t i = kept_; i < out; ++i) slots_[i] = static_cast<std::uint32_t>(cols_);
    for (std::size_t c = 0; c < cols_; ++c)
        if (is_kept_[c] == 0) slots_[out++] = static_cast<std::uint32_t>(c);
    rank_all();
}

template <int N, int M>
void column_tile<N, M>::rank(std::size_t stripe) noexcept {
    stripe_columns<M> columns;
    for (std::size_t i = 0; i < M; ++i) columns[i] = column(stripe * M + i);
    retained_[stripe] = rank_stripe<N, M>(columns, rows_, nth_.data() + stripe * rows_,
                                          next_.data() + stripe * rows_);
    float least = retained_[stripe];
    for (std::size_t i = 0; i < width(stripe); ++i) {
        const float loss = excess_of(columns[i], next(stripe), rows_);
        least = loss < least ? loss : least;
    }
    least_loss_[stripe] = least;
}

// Of slots a, of a stripe, and b, of another stripe or outside.
template <int N, int M>
float column_tile<N, M>::exchange_gain(std::size_t a, std::size_t b) const noexcept {
    const float gain = replacing_gain(column(a), column(b), nth(a / M), next(a / M), rows_);
    if (b >= n_stripes_ * M) return gain;
    return gain + replacing_gain(column(b), column(a), nth(b / M), next(b / M), rows_);
}

template <int N, int M>
void column_tile<N, M>::exchange(std::size_t a, std::size_t b) noexcept {
    std::swap(slots_[a], slots_[b]);
    rank(a / M);
    if (b < n_stripes_ * M) rank(b / M);
}

}  // namespace pare::prune::inline PARE_ARCH_NAMESPACE::detail

#endif  // PARE_PRUNE_COLUMN_TILE_HPP
