// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PRUNE_OUTPUT_SEARCH_HPP
#define PARE_PRUNE_OUTPUT_SEARCH_HPP

#include "balanced_k_means.hpp"
#include "exponential.hpp"
#include "lost_vectors.hpp"
#include "search_input.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace pare::prune::inline PARE_ARCH_NAMESPACE::detail {

/// Which rows share a tile, so that the best column vectors of all tiles keep most: gyro's output
/// channel permutation, by sampling, balanced clustering and assignment.
class output_search {
  public:
    static constexpr std::array<std::size_t, 7> schedule{8, 1, 4, 1, 2, 1, 1};

    /// `scale`, a power of two, multiplies the scores so that sums and squares stay finite.
    static result<output_search> make(std::size_t rows, std::size_t cols, std::size_t tile_rows,
                                      std::size_t kept, float scale) noexcept;

    /// Rearranges `outputs` (rows), a permutation, as long as less is lost. `stop` may end it.
    template <executor E, class Stop>
    status permute(matrix_view<const float> scores, std::span<std::uint32_t> outputs, random& draw,
                   E& run, Stop&& stop) noexcept;

    /// Simulated annealing by exchanges of rows, of which the best remains. The clustering above
    /// moves many rows at once; this finds the rest.
    template <executor E, class Stop>
    void anneal(matrix_view<const float> scores, std::span<std::uint32_t> outputs,
                std::size_t n_exchanges, random& draw, E& run, Stop&& stop) noexcept;

  private:
    struct exchange {
        std::size_t a, b;      // places of two rows in different tiles
        float lost_a, lost_b;  // of their tiles, once exchanged
        float gain;
    };
    exchange try_exchange(matrix_view<const float> scores, std::span<const std::uint32_t> outputs,
                          random& draw) noexcept;
    float* change(std::size_t i) noexcept { return clusters_.data() + i * stride_; }

    template <executor E>
    double lost(matrix_view<const float> scores, std::span<const std::uint32_t> outputs,
                E& run) noexcept;
    template <executor E>
    result<bool> step(matrix_view<const float> scores, std::span<std::uint32_t> outputs,
                      std::size_t n_samples, random& draw, E& run) noexcept;
    void add_row(matrix_view<const float> scores, std::uint32_t row, float* to) const noexcept;
    std::span<std::uint32_t> tile(std::span<std::uint32_t> outputs, std::size_t t) const noexcept {
        const std::size_t begin = t * tile_rows_, left = outputs.size() - begin;
        return outputs.subspan(begin, left < tile_rows_ ? left : tile_rows_);
    }

    // Where annealing begins, in units of what exchanging two rows at random changes.
    static constexpr float hot = 0.5f;

    std::size_t cols_ = 0, stride_ = 0, kept_ = 0, tile_rows_ = 0, n_tiles_ = 0;
    float scale_ = 1.0f;
    double lost_ = 0.0;
    buffer<float> rest_, clusters_;  // (tiles, stride) sums of rows
    buffer<float> points_;           // (tiles * samples, stride)
    buffer<float> costs_;            // (tiles, tiles)
    buffer<float> lost_of_;          // (tiles)
    buffer<std::uint32_t> sampled_;  // (tiles * samples) rows
    buffer<std::uint32_t> members_;  // (tiles * samples) rows by cluster
    buffer<std::uint32_t> goes_to_;  // (tiles)
    buffer<std::uint32_t> before_;   // (rows)
    balanced_k_means k_means_;
    assignment solver_;
};

inline result<output_search> output_search::make(std::size_t rows, std::size_t cols,
                                                 std::size_t tile_rows, std::size_t kept,
                                                 float scale) noexcept {
    output_search made;
    made.cols_ = cols;
    made.stride_ = padded_to_lanes(cols);
    made.kept_ = kept;
    made.scale_ = scale;
    made.tile_rows_ = tile_rows;
    const std::size_t tiles = made.n_tiles_ = (rows + tile_rows - 1) / tile_rows;
    const std::size_t samples = tiles * (tile_rows < 8 ? tile_rows : 8);
    bool ok = true;
    make_array(made.rest_, tiles * made.stride_, ok);
    make_array(made.clusters_, tiles * made.stride_, ok);
    make_array(made.points_, samples * made.stride_, ok);
    make_array(made.costs_, tiles * tiles, ok);
    make_array(made.lost_of_, tiles, ok);
    make_array(made.sampled_, samples, ok);
    make_array(made.members_, samples, ok);
    make_array(made.goes_to_, tiles, ok);
    make_array(made.before_, rows, ok);
    auto k_means = balanced_k_means::make(samples, tiles, made.stride_);
    auto solver = assignment::make(tiles, tiles);
    if (!ok || !k_means || !solver)
        return error{errc::out_of_memory, "output_search: an allocation failed"};
    made.k_means_ = *std::move(k_means);
    made.solver_ = *std::move(solver);
    return made;
}

inline void output_search::add_row(matrix_view<const float> scores, std::uint32_t row,
                                   float* to) const noexcept {
    for (std::size_t c = 0; c < cols_; ++c) to[c] += scale_ * scores(row, c);
}

template <executor E>
double output_search::lost(matrix_view<const float> scores, std::span<const std::uint32_t> outputs,
                           E& run) noexcept {
    run.parallel_for(n_tiles_, 1, [&](std::size_t begin, std::size_t end) {
        for (std::size_t t = begin; t < end; ++t) {
            float* rest = rest_.data() + t * stride_;
            float* none = clusters_.data() + t * stride_;
            for (std::size_t c = 0; c < stride_; ++c) rest[c] = none[c] = 0.0f;
            for (std::size_t i = t * tile_rows_; i < outputs.size() && i < (t + 1) * tile_rows_;
                 ++i)
                add_row(scores, outputs[i], rest);
            lost_of_[t] = lost_of(rest, none, stride_, kept_);
        }
    });
    double sum = 0.0;
    for (const float x : lost_of_.span()) sum += static_cast<double>(x);
    return sum;
}

template <executor E, class Stop>
status output_search::permute(matrix_view<const float> scores, std::span<std::uint32_t> outputs,
                              random& draw, E& run, Stop&& stop) noexcept {
    if (n_tiles_ < 2 || kept_ == cols_) return {};
    lost_ = lost(scores, outputs, run);
    for (const std::size_t wanted : schedule)
        for (bool better = true; better && !stop();) {
            auto stepped =
                step(scores, outputs, wanted < tile_rows_ ? wanted : tile_rows_, draw, run);
            if (!stepped) return stepped.error();
            better = *stepped;
        }
    return {};
}

// A last tile of fewer rows than samples sits out.
template <executor E>
result<bool> output_search::step(matrix_view<const float> scores, std::span<std::uint32_t> outputs,
                                 std::size_t n_samples, random& draw, E& run) noexcept {
    const std::size_t tiles = n_tiles_ - (tile(outputs, n_tiles_ - 1).size() < n_samples);
    if (tiles < 2) return false;
    std::memcpy(before_.data(), outputs.data(), outputs.size_bytes());
    // The samples move to the end of their tile.
    for (std::size_t t = 0; t < tiles; ++t) {
        const auto rows = tile(outputs, t);
        for (std::size_t i = 0; i < n_samples; ++i) {
            std::swap(rows[rows.size() - 1 - i], rows[draw.below(rows.size() - i)]);
            sampled_[t * n_samples + i] = rows[rows.size() - 1 - i];
        }
    }
    const std::size_t n_points = tiles * n_samples;
    run.parallel_for(n_points, 1, [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) {
            float* point = points_.data() + i * stride_;
            for (std::size_t c = 0; c < stride_; ++c) point[c] = 0.0f;
            add_row(scores, sampled_[i], point);
        }
    });
    if (n_samples > 1) {
        const matrix_view<const float> points(points_.data(), n_points, stride_);
        if (auto ok = k_means_.start(points, tiles, draw); !ok) return ok.error();
        if (auto ok = k_means_.run(points, run); !ok) return ok.error();
    }
    for (std::size_t t = 0; t < tiles; ++t) goes_to_[t] = 0;  // members so far
    for (std::size_t i = 0; i < n_points; ++i) {
        const std::size_t k = n_samples > 1 ? k_means_.clusters()[i] : i;
        members_[k * n_samples + goes_to_[k]++] = static_cast<std::uint32_t>(i);
    }
    run.parallel_for(tiles, 1, [&](std::size_t begin, std::size_t end) {
        for (std::size_t t = begin; t < end; ++t) {
            float* rest = rest_.data() + t * stride_;
            float* sum = clusters_.data() + t * stride_;
            for (std::size_t c = 0; c < stride_; ++c) rest[c] = sum[c] = 0.0f;
            const auto rows = tile(outputs, t);
            for (const std::uint32_t r : rows.first(rows.size() - n_samples))
                add_row(scores, r, rest);
            for (std::size_t i = 0; i < n_samples; ++i)
                add_row(scores, sampled_[members_[t * n_samples + i]], sum);
        }
    });
    run.parallel_for(tiles, 1, [&](std::size_t begin, std::size_t end) {
        for (std::size_t t = begin; t < end; ++t)
            for (std::size_t k = 0; k < tiles; ++k)
                costs_[t * tiles + k] = lost_of(rest_.data() + t * stride_,
                                                clusters_.data() + k * stride_, stride_, kept_);
    });
    auto total = solver_.solve({costs_.data(), tiles, tiles}, goes_to_.span().first(tiles));
    if (!total) return total.error();
    for (std::size_t t = 0; t < tiles; ++t) {
        const auto rows = tile(outputs, t);
        for (std::size_t i = 0; i < n_samples; ++i)
            rows[rows.size() - 1 - i] = sampled_[members_[goes_to_[t] * n_samples + i]];
    }
    const double now = lost(scores, outputs, run);
    if (now < lost_ * (1.0 - 1e-6)) {
        lost_ = now;
        return true;
    }
    std::memcpy(outputs.data(), before_.data(), outputs.size_bytes());
    return false;
}

// Leaves in change(0) and change(1) what the exchange adds to the sums of both tiles.
inline output_search::exchange output_search::try_exchange(matrix_view<const float> scores,
                                                           std::span<const std::uint32_t> outputs,
                                                           random& draw) noexcept {
    exchange tried{draw.below(outputs.size()), draw.below(outputs.size()), 0.0f, 0.0f, 0.0f};
    const std::size_t t = tried.a / tile_rows_, u = tried.b / tile_rows_;
    if (t == u) return tried;
    const float* leaves = scores.row_span(outputs[tried.a]).data();
    const float* comes = scores.row_span(outputs[tried.b]).data();
    for (std::size_t c = 0; c < cols_; ++c) {
        change(0)[c] = scale_ * (comes[c] - leaves[c]);
        change(1)[c] = -change(0)[c];
    }
    tried.lost_a = lost_of(rest_.data() + t * stride_, change(0), stride_, kept_);
    tried.lost_b = lost_of(rest_.data() + u * stride_, change(1), stride_, kept_);
    tried.gain = lost_of_[t] + lost_of_[u] - tried.lost_a - tried.lost_b;
    return tried;
}

template <executor E, class Stop>
void output_search::anneal(matrix_view<const float> scores, std::span<std::uint32_t> outputs,
                           std::size_t n_exchanges, random& draw, E& run, Stop&& stop) noexcept {
    if (n_tiles_ < 2 || kept_ == cols_) return;
    std::memcpy(before_.data(), outputs.data(), outputs.size_bytes());
    const double before = lost(scores, outputs, run);
    for (std::size_t i = 0; i < 2 * stride_; ++i) clusters_[i] = 0.0f;
    float typical = 0.0f;
    for (int i = 0; i < 64; ++i) {
        const float gain = try_exchange(scores, outputs, draw).gain;
        typical += (gain < 0.0f ? -gain : gain) / 64;
    }
    bool ended = false;
    for (std::size_t i = 0; i < n_exchanges && !ended; ++i) {
        if (i % 16 == 15) ended = stop();
        const exchange tried = try_exchange(scores, outputs, draw);
        const std::size_t t = tried.a / tile_rows_, u = tried.b / tile_rows_;
        const float temperature =
            hot * typical * static_cast<float>(n_exchanges - i) / static_cast<float>(n_exchanges);
        if (t == u || tried.gain <= -temperature * exponential(draw)) continue;
        std::swap(outputs[tried.a], outputs[tried.b]);
        for (std::size_t c = 0; c < cols_; ++c) {
            rest_[t * stride_ + c] += change(0)[c];
            rest_[u * stride_ + c] += change(1)[c];
        }
        lost_of_[t] = tried.lost_a;
        lost_of_[u] = tried.lost_b;
    }
    if (lost(scores, outputs, run) >= before)
        std::memcpy(outputs.data(), before_.data(), outputs.size_bytes());
}

}  // namespace pare::prune::inline PARE_ARCH_NAMESPACE::detail

#endif  // PARE_PRUNE_OUTPUT_SEARCH_HPP
