// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PRUNE_BALANCED_K_MEANS_HPP
#define PARE_PRUNE_BALANCED_K_MEANS_HPP

#include "../core/executor.hpp"
#include "../core/random.hpp"
#include "assignment.hpp"
#include "lanes.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace pare::prune::inline PARE_ARCH_NAMESPACE {

/// Clusters of exactly equal size: k-means whose assignment step gives every centroid points / k
/// points, at the least sum of squared Euclidean distances (a linear assignment over columns that
/// repeat the centroids). Malinen and Fränti, "Balanced K-Means for Clustering", S+SSPR 2014; the
/// limits are gyro-permutation's, arXiv:2407.20496. The memory is made once.
class balanced_k_means {
  public:
    static constexpr int max_steps = 20;
    static constexpr double settled = 1e-8;  ///< squared Frobenius norm of the centroids' move

    /// Stops nothing.
    struct endless {
        bool operator()() const noexcept { return false; }
    };

    static result<balanced_k_means> make(std::size_t max_points, std::size_t max_clusters,
                                         std::size_t dims) noexcept;

    /// Points that differ by place are the first centroids. points (n, dims), rows contiguous, n a
    /// multiple of n_clusters. Refuses what it has no room for, and numbers that are not finite.
    status start(matrix_view<const float> points, std::size_t n_clusters, random& draw) noexcept;

    /// Gives points to centroids, then moves each to the mean of its points.
    /// @return the sum of squared distances before the move, which no step raises
    template <executor E = serial>
    result<double> step(matrix_view<const float> points, E&& run = {}) noexcept;

    /// Steps until the centroids rest or `stop()` says so, max_steps at most. @return the last
    /// step's sum
    template <executor E = serial, class Stop = endless>
    result<double> run(matrix_view<const float> points, E&& run = {}, Stop&& stop = {}) noexcept;

    /// (points) the cluster of each.
    std::span<const std::uint32_t> clusters() const noexcept {
        return cluster_.span().first(n_points_);
    }
    /// (clusters, dims)
    matrix_view<const float> centroids() const noexcept {
        return {centroids_.data(), n_clusters_, dims_};
    }
    /// Squared Frobenius norm of the last step's move.
    double moved() const noexcept { return moved_; }

  private:
    static float squared_distance(std::span<const float> a, std::span<const float> b) noexcept;
    void move_centroids(matrix_view<const float> points) noexcept;

    std::size_t n_points_ = 0, n_clusters_ = 0, dims_ = 0;
    double moved_ = 0.0;
    buffer<float> centroids_, sums_, costs_;
    buffer<std::uint32_t> cluster_;
    assignment solver_;
};

inline result<balanced_k_means> balanced_k_means::make(std::size_t max_points,
                                                       std::size_t max_clusters,
                                                       std::size_t dims) noexcept {
    balanced_k_means made;
    auto centroids = buffer<float>::make(max_clusters * dims);
    auto sums = buffer<float>::make(dims);
    auto costs = buffer<float>::make(max_points * max_points);
    auto cluster = buffer<std::uint32_t>::make(max_points);
    auto solver = assignment::make(max_points, max_points);
    if (!centroids || !sums || !costs || !cluster || !solver)
        return error{errc::out_of_memory, "balanced_k_means: an allocation failed"};
    made.centroids_ = *std::move(centroids);
    made.sums_ = *std::move(sums);
    made.costs_ = *std::move(costs);
    made.cluster_ = *std::move(cluster);
    made.solver_ = *std::move(solver);
    made.dims_ = dims;
    return made;
}

inline status balanced_k_means::start(matrix_view<const float> points, std::size_t n_clusters,
                                      random& draw) noexcept {
    if (n_clusters == 0 || points.rows() == 0 || points.rows() % n_clusters != 0 ||
        points.cols() != dims_)
        return error{errc::shape_mismatch,
                     "balanced_k_means: points must be a multiple of the clusters"};
    if (points.rows() > cluster_.size() || n_clusters * dims_ > centroids_.size())
        return error{errc::buffer_too_small, "balanced_k_means: made for fewer points or clusters"};
    if (points.col_stride() != 1)
        return error{errc::not_contiguous, "balanced_k_means: points must be contiguous"};
    n_points_ = points.rows();
    n_clusters_ = n_clusters;
    for (std::size_t i = 0; i < n_points_; ++i) cluster_[i] = static_cast<std::uint32_t>(i);
    for (std::size_t k = 0; k < n_clusters; ++k) {
        std::swap(cluster_[k], cluster_[k + draw.below(n_points_ - k)]);
        for (std::size_t d = 0; d < dims_; ++d) centroids_[k * dims_ + d] = points(cluster_[k], d);
    }
    return {};
}

template <executor E>
result<double> balanced_k_means::step(matrix_view<const float> points, E&& run) noexcept {
    PARE_ASSERT(points.rows() == n_points_ && points.cols() == dims_, "the points of start()");
    const std::size_t size = n_points_ / n_clusters_;
    run.parallel_for(n_points_, 8, [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i)
            for (std::size_t k = 0; k < n_clusters_; ++k) {
                const float d =
                    squared_distance(points.row_span(i), {centroids_.data() + k * dims_, dims_});
                for (std::size_t s = 0; s < size; ++s) costs_[i * n_points_ + k * size + s] = d;
            }
    });
    auto total =
        solver_.solve({costs_.data(), n_points_, n_points_}, cluster_.span().first(n_points_));
    if (!total) return total;
    for (std::size_t i = 0; i < n_points_; ++i) cluster_[i] /= static_cast<std::uint32_t>(size);
    move_centroids(points);
    return total;
}

template <executor E, class Stop>
result<double> balanced_k_means::run(matrix_view<const float> points, E&& run,
                                     Stop&& stop) noexcept {
    for (int i = 1;; ++i) {
        auto total = step(points, run);
        if (!total || moved_ < settled || i == max_steps || stop()) return total;
    }
}

inline float balanced_k_means::squared_distance(std::span<const float> a,
                                                std::span<const float> b) noexcept {
    detail::lanes sum{}, x, y;
    std::size_t d = 0;
    for (; d + detail::n_lanes <= a.size(); d += detail::n_lanes) {
        detail::load(x, &a[d]);
        detail::load(y, &b[d]);
        sum += (x - y) * (x - y);
    }
    float total = detail::sum_of(sum);
    for (; d < a.size(); ++d) total += (a[d] - b[d]) * (a[d] - b[d]);
    return total;
}

inline void balanced_k_means::move_centroids(matrix_view<const float> points) noexcept {
    const float size = static_cast<float>(n_points_ / n_clusters_);
    double moved = 0.0;
    for (std::size_t k = 0; k < n_clusters_; ++k) {
        for (std::size_t d = 0; d < dims_; ++d) sums_[d] = 0.0f;
        for (std::size_t i = 0; i < n_points_; ++i)
            for (std::size_t d = 0; cluster_[i] == k && d < dims_; ++d) sums_[d] += points(i, d);
        for (std::size_t d = 0; d < dims_; ++d) {
            float& at = centroids_[k * dims_ + d];
            const double change = static_cast<double>(sums_[d] / size - at);
            moved += change * change;
            at = sums_[d] / size;
        }
    }
    moved_ = moved;
}

}  // namespace pare::prune::inline PARE_ARCH_NAMESPACE

#endif  // PARE_PRUNE_BALANCED_K_MEANS_HPP
