// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PRUNE_COLUMN_ORDER_HPP
#define PARE_PRUNE_COLUMN_ORDER_HPP

#include "hinm_order.hpp"
#include "n_m.hpp"
#include "search_limit.hpp"
#include "tile_search.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>

namespace pare::prune {

/// What a search for a column order came to: shares of all saliency that N:M keeps, in [0, 1].
struct column_order_report {
    double identity = 1.0;      ///< columns in place
    double retained = 1.0;      ///< in the order found; never less than identity
    double unstructured = 1.0;  ///< by as many weights wherever they are: no order keeps more
    std::size_t rounds = 0;     ///< of annealing that were begun

    /// Share of the gap between identity and unstructured that is closed; 0 where there is none but
    /// rounding.
    double efficacy() const noexcept {
        const double gap = unstructured - identity;
        return gap > 1e-6 ? (retained - identity) / gap : 0.0;
    }
};

inline namespace PARE_ARCH_NAMESPACE {

struct column_order_result {
    buffer<std::uint32_t> columns;  ///< (cols) columns[i] is the column of the weights at place i
    column_order_report report;
};

/// The order of the input channels in which n_m keeps most saliency: one for all rows, so that
/// whoever writes the inputs can write them so. Reassignment of samples as in gyro-permutation,
/// regrouping of every pair of groups as Pool and Yu, "Channel Permutations for N:M Sparsity",
/// NeurIPS 2021, do it exhaustively for windows of two, then rounds of simulated annealing.
/// Deadline, rounds, seed and observer are as in `gyro`.
struct column_order {
    std::optional<std::chrono::nanoseconds> deadline{};  ///< from the call on
    std::optional<std::size_t> rounds{};                 ///< unlimited where only deadline is given
    std::uint64_t seed = 1;
    std::chrono::nanoseconds observe_every{50'000'000};  ///< or less often, amid long steps

    /// layers: scores (rows, cols) >= 0 of all layers that read the same inputs, with contiguous
    /// rows. `start`, an earlier order, is where the search begins.
    /// @return out_of_memory, not_contiguous, invalid_argument, not_a_number; shape_mismatch for
    /// layers of different cols, or a `start` of another size. Allocates.
    template <int N, int M, executor E = serial, search_observer Observer = unobserved>
    result<column_order_result> search(std::span<const matrix_view<const float>> layers,
                                       const n_m<N, M>& pattern, E&& run = {},
                                       Observer&& observe = {},
                                       std::span<const std::uint32_t> start = {}) const noexcept;
};

namespace detail {

// As many as N:M keeps in `rows` rows, wherever they are.
template <int N, int M>
double unstructured_sum(std::span<const float> scores, std::size_t rows,
                        std::size_t cols) noexcept {
    const std::size_t last = cols % M < N ? cols % M : N;
    double sum = 0.0;
    const auto read = [&](std::size_t begin, std::span<double> to) {
        for (std::size_t i = 0; i < to.size(); ++i) to[i] = static_cast<double>(scores[begin + i]);
    };
    for_each_vector(
        scores.size(), rows * (cols / M * N + last), read,
        [&](std::size_t i, bool keep) { sum += keep ? static_cast<double>(scores[i]) : 0.0; });
    return sum;
}

// @return the rows of all layers
inline result<std::size_t> check_layers(std::span<const matrix_view<const float>> layers) noexcept {
    std::size_t rows = 0;
    for (const auto& layer : layers) {
        if (layer.cols() != layers[0].cols())
            return error{errc::shape_mismatch, "column_order: layers differ in columns"};
        if (auto ok = check_saliency(layer); !ok) return ok.error();
        rows += layer.rows();
    }
    return rows;
}

}  // namespace detail

template <int N, int M, executor E, search_observer Observer>
result<column_order_result> column_order::search(
    std::span<const matrix_view<const float>> layers, const n_m<N, M>& /*pattern*/, E&& run,
    Observer&& observe, std::span<const std::uint32_t> start) const noexcept {
    search_limit limit(deadline, observe_every);
    const auto rows = detail::check_layers(layers);
    if (!rows) return rows.error();
    const std::size_t cols = layers.empty() ? 0 : layers[0].cols();
    auto identity = hinm_order::make(1, cols, 1, cols);
    if (!identity) return identity.error();
    auto given = buffer<std::uint32_t>::make(cols);
    if (!given) return given.error();
    auto made = detail::tile_search<N, M>::make(*rows, cols, cols);
    if (!made) return made.error();
    detail::tile_search<N, M>& all = *made;

    all.tile.start(*rows, detail::unit_of(layers));
    std::size_t first = 0;
    for (const auto& layer : layers) all.tile.read(layer, first), first += layer.rows();
    all.tile.place(identity->columns(0));
    double total = 0.0;
    for (const float x : all.tile.scores()) total += static_cast<double>(x);
    const auto share = [total](double sum) { return total > 0.0 ? sum / total : 1.0; };
    column_order_report report;
    report.identity = share(all.tile.retained());
    report.unstructured = share(detail::unstructured_sum<N, M>(all.tile.scores(), *rows, cols));

    random draw(seed);
    double best = report.identity;  // so far; what is being annealed may retain less
    const auto tell = [&] {
        if (!observe(search_progress{report.rounds, best})) limit.cancel();
    };
    const auto ask = [&] {
        if (limit.due()) tell();
        return limit();
    };
    const auto told = [&] {
        const double now = share(all.tile.retained());
        if (now > best) best = now;  // equal shares may round apart
        tell();
    };
    if (!start.empty()) {
        if (start.size() != cols)
            return error{errc::shape_mismatch, "column_order: the start is for other columns"};
        for (std::size_t i = 0; i < cols; ++i) identity->columns(0)[i] = start[i];
        if (auto ok = identity->check(); !ok) return ok.error();
        const double before = all.tile.retained();
        all.tile.place(start);
        if (all.tile.retained() < before) {
            for (std::size_t i = 0; i < cols; ++i)
                identity->columns(0)[i] = static_cast<std::uint32_t>(i);
            all.tile.place(identity->columns(0));
        }
    } else {
        all.reassign(draw, run, ask);
    }
    all.settle(run, ask);
    told();
    const std::size_t most = rounds ? *rounds : deadline ? static_cast<std::size_t>(-1) : 0;
    for (; report.rounds < most && !limit(); told()) {
        const std::size_t doubled = report.rounds < 6 ? report.rounds : 6;
        ++report.rounds;
        all.anneal(cols << (6 + doubled), draw, run, ask);
    }
    report.retained = best;
    for (std::size_t i = 0; i < cols; ++i) (*given)[i] = all.tile.columns()[i];
    return column_order_result{*std::move(given), report};
}

}  // namespace PARE_ARCH_NAMESPACE

}  // namespace pare::prune

#endif  // PARE_PRUNE_COLUMN_ORDER_HPP
