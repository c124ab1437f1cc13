// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PRUNE_CHANNEL_SCORES_HPP
#define PARE_PRUNE_CHANNEL_SCORES_HPP

#include "../core/dtype.hpp"
#include "channel_graph.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace pare::prune::inline PARE_ARCH_NAMESPACE {

/// What a class of channels is worth: the mean of the scores of its rows.
struct channel_scores {
    /// Scores are divided by the mean of their layer, so that layers compare. Without it they are
    /// taken as they are.
    bool relative = true;

    /// @param rows     (operations) scores >= 0 of a layer's rows; empty: it has no say
    /// @param classes  (classes) written; 0 for one that no layer scores
    /// @return out_of_memory; shape_mismatch; not_a_number; invalid_argument for a negative score,
    /// with the operation's number
    status combine(const channel_graph& graph, std::span<const std::span<const float>> rows,
                   std::span<float> classes) const noexcept;
};

inline status channel_scores::combine(const channel_graph& graph,
                                      std::span<const std::span<const float>> rows,
                                      std::span<float> classes) const noexcept {
    if (rows.size() != graph.operations().size() || classes.size() != graph.n_classes())
        return error{errc::shape_mismatch, "scores of each operation make scores of each class"};
    buffer<double> sums;
    buffer<std::uint32_t> counts;
    bool ok = true;
    detail::make_array(sums, classes.size(), ok);
    detail::make_array(counts, classes.size(), ok);
    if (!ok) return error{errc::out_of_memory, "channel_scores: an allocation failed"};
    for (std::size_t i = 0; i < rows.size(); ++i) {
        if (rows[i].empty()) continue;
        if (!graph.operations()[i].has_weights() || rows[i].size() != graph.classes(i).size())
            return error{errc::shape_mismatch, "a layer has a score for each row", i};
        double total = 0.0;
        for (const float score : rows[i]) {
            if (!is_finite(score)) return error{errc::not_a_number, "a score is not finite", i};
            if (score < 0.0f) return error{errc::invalid_argument, "a score is negative", i};
            total += static_cast<double>(score);
        }
        const double unit =
            relative && total > 0.0 ? static_cast<double>(rows[i].size()) / total : 1.0;
        for (std::size_t r = 0; r < rows[i].size(); ++r) {
            sums[graph.classes(i)[r]] += static_cast<double>(rows[i][r]) * unit;
            ++counts[graph.classes(i)[r]];
        }
    }
    for (std::size_t c = 0; c < classes.size(); ++c)
        classes[c] = counts[c] == 0 ? 0.0f : static_cast<float>(sums[c] / counts[c]);
    return {};
}

}  // namespace pare::prune::inline PARE_ARCH_NAMESPACE

#endif  // PARE_PRUNE_CHANNEL_SCORES_HPP
