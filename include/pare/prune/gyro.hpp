// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PRUNE_GYRO_HPP
#define PARE_PRUNE_GYRO_HPP

#include "hinm.hpp"
#include "layer_search.hpp"
#include "search_limit.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <type_traits>
#include <utility>

namespace pare::prune {

/// What a search for an order came to: shares of all saliency that the mask keeps, in [0, 1].
struct gyro_report {
    double identity = 1.0;      ///< rows in place, kept columns ascending
    double after_output = 1.0;  ///< after the output channel permutation
    double after_input = 1.0;   ///< and the input channel permutation: gyro as published
    double retained = 1.0;      ///< by the order returned; never less than identity
    std::size_t rounds = 0;     ///< of the longer search that were begun
};

inline namespace PARE_ARCH_NAMESPACE {

struct gyro_result {
    hinm_order order;
    gyro_report report;
};

/// Gyro-permutation: which output channels share a tile, and in which order each tile groups its
/// inputs, so that hinm keeps most saliency. Yu et al., arXiv:2407.20496; then, for as long as it
/// may, a longer search of our own: regrouping of pairs of stripes, which columns are kept given
/// what N:M keeps of them, and simulated annealing of rows and columns.
///
/// Deviations from the authors' code: what is pruned of a tile is counted right for every vector
/// sparsity; of equal vectors the first stay; samples differ from call to call; a step is taken
/// when less is lost counted anew, not by the solver's total; a last tile of fewer rows sits out
/// where it has fewer than are sampled.
///
/// The search ends at the deadline, after `rounds` of the longer search, or when the observer says
/// so; without deadline and rounds it is gyro as published. The result is the same for any executor
/// as long as neither deadline nor observer ends it.
struct gyro {
    std::optional<std::chrono::nanoseconds> deadline{};  ///< from the call on
    std::optional<std::size_t> rounds{};                 ///< unlimited where only deadline is given
    std::uint64_t seed = 1;
    bool outputs = true;  ///< whether output channels may move; if not, packed rows stay in place
    bool inputs = true;   ///< whether tiles group columns anew; if not, there is no longer search
    std::chrono::nanoseconds observe_every{50'000'000};  ///< or less often, amid long steps

    /// scores (rows, cols) >= 0, contiguous rows. `start`, an earlier result for the same shape and
    /// pattern, takes the place of gyro's phases: the longer search begins there.
    /// @return out_of_memory, not_contiguous; invalid_argument for a score that is negative or a
    /// pattern out of range; not_a_number; shape_mismatch or invalid_argument for a `start` that
    /// does not fit. Allocates.
    template <int N, int M, int V, executor E = serial, search_observer Observer = unobserved>
    result<gyro_result> search(matrix_view<const float> scores, const hinm<N, M, V>& pattern,
                               E&& run = {}, Observer&& observe = {},
                               const hinm_order* start = nullptr) const noexcept;
};

template <int N, int M, int V, executor E, search_observer Observer>
result<gyro_result> gyro::search(matrix_view<const float> scores, const hinm<N, M, V>& pattern,
                                 E&& run, Observer&& observe,
                                 const hinm_order* start) const noexcept {
    search_limit limit(deadline, observe_every);
    if (auto ok = pattern.check(); !ok) return ok.error();
    if (auto ok = detail::check_saliency(scores); !ok) return ok.error();
    if (start != nullptr)
        if (auto ok = pattern.check(*start, scores.rows(), scores.cols()); !ok) return ok.error();
    auto identity = pattern.make_order(scores);
    if (!identity) return identity.error();
    using layer =
        detail::layer_search<N, M, std::remove_reference_t<E>, std::remove_reference_t<Observer>>;
    auto made = layer::make(scores, *std::move(identity), seed, run, observe);
    if (!made) return made.error();
    layer& search = *made;

    gyro_report report;
    report.identity = search.retained();
    if (start != nullptr) {
        report.after_output = report.after_input = search.offer(*start, limit);
    } else {
        const auto phases = search.gyro(outputs, inputs, limit);
        if (!phases) return phases.error();
        report.after_output = phases->output;
        report.after_input = phases->input;
    }
    const std::size_t most = rounds ? *rounds : deadline ? static_cast<std::size_t>(-1) : 0;
    while (inputs && search.rounds() < most && !limit()) search.go_on(outputs, limit);
    report.retained = search.retained();
    report.rounds = search.rounds();
    return gyro_result{std::move(search.order()), report};
}

}  // namespace PARE_ARCH_NAMESPACE

}  // namespace pare::prune

#endif  // PARE_PRUNE_GYRO_HPP
