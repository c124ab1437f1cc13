// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PRUNE_OUTPUT_CLUSTERING_HPP
#define PARE_PRUNE_OUTPUT_CLUSTERING_HPP

#include "balanced_k_means.hpp"
#include "output_tiles.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <utility>

namespace pare::prune::inline PARE_ARCH_NAMESPACE::detail {

/// Gyro's output channel permutation: samples of rows from every tile, clustered where they are
/// several, and assigned to the tiles that then lose least. The memory is made once.
class output_clustering {
  public:
    static constexpr std::array<std::size_t, 7> schedule{8, 1, 4, 1, 2, 1, 1};

    static result<output_clustering> make(const output_tiles& tiles, std::size_t rows) noexcept;

    /// Rearranges `outputs` (rows) as long as less is lost. `stop` may end it.
    template <executor E, class Stop>
    status run(output_tiles& tiles, matrix_view<const float> scores,
               std::span<std::uint32_t> outputs, random& draw, E& run, Stop&& stop) noexcept;

  private:
    template <executor E, class Stop>
    result<bool> step(output_tiles& tiles, matrix_view<const float> scores,
                      std::span<std::uint32_t> outputs, std::size_t n_samples, random& draw, E& run,
                      Stop&& stop) noexcept;
    void sample(const output_tiles& tiles, std::span<std::uint32_t> outputs, std::size_t n_tiles,
                std::size_t n_samples, random& draw) noexcept;
    template <executor E, class Stop>
    status cluster(const output_tiles& tiles, matrix_view<const float> scores, std::size_t n_tiles,
                   std::size_t n_samples, random& draw, E& run, Stop&& stop) noexcept;
    template <executor E>
    status assign(output_tiles& tiles, matrix_view<const float> scores,
                  std::span<std::uint32_t> outputs, std::size_t n_tiles, std::size_t n_samples,
                  E& run) noexcept;

    double lost_ = 0.0;
    buffer<float> clusters_;         // (tiles, stride) sums of rows
    buffer<float> points_;           // (tiles * samples, stride)
    buffer<float> costs_;            // (tiles, tiles)
    buffer<std::uint32_t> sampled_;  // (tiles * samples) rows
    buffer<std::uint32_t> members_;  // (tiles * samples) rows by cluster
    buffer<std::uint32_t> goes_to_;  // (tiles)
    buffer<std::uint32_t> before_;   // (rows)
    balanced_k_means k_means_;
    assignment solver_;
};

inline result<output_clustering> output_clustering::make(const output_tiles& tiles,
                                                         std::size_t rows) noexcept {
    output_clustering made;
    const std::size_t n_tiles = tiles.count();
    const std::size_t samples = n_tiles * (tiles.tile_rows() < 8 ? tiles.tile_rows() : 8);
    bool ok = true;
    make_array(made.clusters_, n_tiles * tiles.stride(), ok);
    make_array(made.points_, samples * tiles.stride(), ok);
    make_array(made.costs_, n_tiles * n_tiles, ok);
    make_array(made.sampled_, samples, ok);
    make_array(made.members_, samples, ok);
    make_array(made.goes_to_, n_tiles, ok);
    make_array(made.before_, rows, ok);
    auto k_means = balanced_k_means::make(samples, n_tiles, tiles.stride());
    auto solver = assignment::make(n_tiles, n_tiles);
    if (!ok || !k_means || !solver)
        return error{errc::out_of_memory, "output_clustering: an allocation failed"};
    made.k_means_ = *std::move(k_means);
    made.solver_ = *std::move(solver);
    return made;
}

template <executor E, class Stop>
status output_clustering::run(output_tiles& tiles, matrix_view<const float> scores,
                              std::span<std::uint32_t> outputs, random& draw, E& run,
                              Stop&& stop) noexcept {
    if (!tiles.differ()) return {};
    lost_ = tiles.sum_up(scores, outputs, run);
    for (const std::size_t wanted : schedule)
        for (bool better = true; better && !stop();) {
            const std::size_t n = wanted < tiles.tile_rows() ? wanted : tiles.tile_rows();
            auto stepped = step(tiles, scores, outputs, n, draw, run, stop);
            if (!stepped) return stepped.error();
            better = *stepped;
        }
    return {};
}

// A last tile of fewer rows than samples sits out.
template <executor E, class Stop>
result<bool> output_clustering::step(output_tiles& tiles, matrix_view<const float> scores,
                                     std::span<std::uint32_t> outputs, std::size_t n_samples,
                                     random& draw, E& run, Stop&& stop) noexcept {
    const std::size_t last = tiles.count() - 1;
    const std::size_t n_tiles = last + (tiles.rows_of(outputs, last).size() >= n_samples);
    if (n_tiles < 2) return false;
    std::memcpy(before_.data(), outputs.data(), outputs.size_bytes());
    sample(tiles, outputs, n_tiles, n_samples, draw);
    if (auto ok = cluster(tiles, scores, n_tiles, n_samples, draw, run, stop); !ok)
        return ok.error();
    if (auto ok = assign(tiles, scores, outputs, n_tiles, n_samples, run); !ok) return ok.error();
    const double now = tiles.sum_up(scores, outputs, run);
    if (now < lost_ * (1.0 - 1e-6)) {
        lost_ = now;
        return true;
    }
    std::memcpy(outputs.data(), before_.data(), outputs.size_bytes());
    return false;
}

// The samples move to the end of their tile.
inline void output_clustering::sample(const output_tiles& tiles, std::span<std::uint32_t> outputs,
                                      std::size_t n_tiles, std::size_t n_samples,
                                      random& draw) noexcept {
    for (std::size_t t = 0; t < n_tiles; ++t) {
        const auto rows = tiles.rows_of(outputs, t);
        for (std::size_t i = 0; i < n_samples; ++i) {
            std::swap(rows[rows.size() - 1 - i], rows[draw.below(rows.size() - i)]);
            sampled_[t * n_samples + i] = rows[rows.size() - 1 - i];
        }
    }
}

// As many clusters as tiles; single samples are clusters as they are.
template <executor E, class Stop>
status output_clustering::cluster(const output_tiles& tiles, matrix_view<const float> scores,
                                  std::size_t n_tiles, std::size_t n_samples, random& draw, E& run,
                                  Stop&& stop) noexcept {
    const std::size_t n_points = n_tiles * n_samples, stride = tiles.stride();
    run.parallel_for(n_points, 1, [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) {
            float* point = points_.data() + i * stride;
            for (std::size_t c = 0; c < stride; ++c) point[c] = 0.0f;
            tiles.add_row(scores, sampled_[i], point);
        }
    });
    if (n_samples > 1) {
        const matrix_view<const float> points(points_.data(), n_points, stride);
        if (auto ok = k_means_.start(points, n_tiles, draw); !ok) return ok.error();
        if (auto ok = k_means_.run(points, run, stop); !ok) return ok.error();
    }
    for (std::size_t t = 0; t < n_tiles; ++t) goes_to_[t] = 0;  // members so far
    for (std::size_t i = 0; i < n_points; ++i) {
        const std::size_t k = n_samples > 1 ? k_means_.clusters()[i] : i;
        members_[k * n_samples + goes_to_[k]++] = static_cast<std::uint32_t>(i);
    }
    return {};
}

template <executor E>
status output_clustering::assign(output_tiles& tiles, matrix_view<const float> scores,
                                 std::span<std::uint32_t> outputs, std::size_t n_tiles,
                                 std::size_t n_samples, E& run) noexcept {
    const std::size_t stride = tiles.stride();
    run.parallel_for(n_tiles, 1, [&](std::size_t begin, std::size_t end) {
        for (std::size_t t = begin; t < end; ++t) {
            float* rest = tiles.sums(t);
            float* sum = clusters_.data() + t * stride;
            for (std::size_t c = 0; c < stride; ++c) rest[c] = sum[c] = 0.0f;
            const auto rows = tiles.rows_of(outputs, t);
            for (const std::uint32_t r : rows.first(rows.size() - n_samples))
                tiles.add_row(scores, r, rest);
            for (std::size_t i = 0; i < n_samples; ++i)
                tiles.add_row(scores, sampled_[members_[t * n_samples + i]], sum);
        }
    });
    run.parallel_for(n_tiles, 1, [&](std::size_t begin, std::size_t end) {
        for (std::size_t t = begin; t < end; ++t)
            for (std::size_t k = 0; k < n_tiles; ++k)
                costs_[t * n_tiles + k] = tiles.lost_with(t, clusters_.data() + k * stride);
    });
    auto total = solver_.solve({costs_.data(), n_tiles, n_tiles}, goes_to_.span().first(n_tiles));
    if (!total) return total.error();
    for (std::size_t t = 0; t < n_tiles; ++t) {
        const auto rows = tiles.rows_of(outputs, t);
        for (std::size_t i = 0; i < n_samples; ++i)
            rows[rows.size() - 1 - i] = sampled_[members_[goes_to_[t] * n_samples + i]];
    }
    return {};
}

}  // namespace pare::prune::inline PARE_ARCH_NAMESPACE::detail

#endif  // PARE_PRUNE_OUTPUT_CLUSTERING_HPP
