// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PRUNE_CHANNEL_SELECTION_HPP
#define PARE_PRUNE_CHANNEL_SELECTION_HPP

#include "../core/dtype.hpp"
#include "channel_graph.hpp"
#include "removal_order.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace pare::prune::inline PARE_ARCH_NAMESPACE {

/// Which classes of channels leave until a share of a model's multiply-adds has.
///
/// Groups in one pool have one threshold, and every pool loses the same share of its classes. So a
/// pool for each group is the same ratio in every layer, one for all a global ranking; pools by the
/// extents of maps and the kind of layer, with the scale of a batch norm as the score, are the
/// thresholds of arXiv:2306.01526.
struct channel_selection {
    double share = 0.3;        ///< of multiply-adds to remove, in [0, 1)
    std::size_t multiple = 1;  ///< what an operation's channels in a group are rounded up to
    float least = 0.0f;        ///< share of a group's classes that stays; at least one does

    /// As few as remove that share, counted by what is left of each layer; what rounding took too
    /// much of comes back, no group could get more. Offline: allocates 21 bytes per class and 56
    /// per group.
    /// @param scores  (classes) higher = keep; of equal ones the first stays
    /// @param pools   (groups) the pool of each, any numbers below the number of groups
    /// @param kept    (classes) written: 1 = kept
    /// @return shape_mismatch; not_a_number; out_of_memory; invalid_argument for parameters outside
    /// their range, or a share that cannot be removed; kept is then untouched
    status select(const channel_graph& graph, std::span<const float> scores,
                  std::span<const std::uint32_t> pools,
                  std::span<std::uint8_t> kept) const noexcept;

    /// As many classes of each group as it is told, the best ones, whatever `share` says: widths
    /// that come from elsewhere. Offline as select().
    /// @param counts  (groups) of classes that stay; more where `multiple` and `least` ask for it
    /// @return as select()
    status select_counts(const channel_graph& graph, std::span<const float> scores,
                         std::span<const std::size_t> counts,
                         std::span<std::uint8_t> kept) const noexcept;

  private:
    status check(const channel_graph& graph, std::span<const float> scores,
                 std::span<const std::uint8_t> kept) const noexcept;
};

inline status channel_selection::check(const channel_graph& graph, std::span<const float> scores,
                                       std::span<const std::uint8_t> kept) const noexcept {
    const bool finite = is_finite(share) && is_finite(least);
    if (!finite || share < 0.0 || share >= 1.0 || least < 0.0f || least > 1.0f || multiple == 0)
        return error{errc::invalid_argument, "channel_selection: a parameter is out of range"};
    if (scores.size() != graph.n_classes() || kept.size() != graph.n_classes())
        return error{errc::shape_mismatch, "channel_selection: a score and a flag for each class"};
    for (std::size_t c = 0; c < scores.size(); ++c)
        if (!is_finite(scores[c])) return error{errc::not_a_number, "a score is not finite", c};
    return {};
}

inline status channel_selection::select_counts(const channel_graph& graph,
                                               std::span<const float> scores,
                                               std::span<const std::size_t> counts,
                                               std::span<std::uint8_t> kept) const noexcept {
    if (const status ok = check(graph, scores, kept); !ok) return ok;
    if (counts.size() != graph.n_groups())
        return error{errc::shape_mismatch, "channel_selection: a count for each group"};
    auto pools = buffer<std::uint32_t>::make(graph.n_groups());  // one: ranks are within groups
    if (!pools) return pools.error();
    auto order = detail::removal_order::make(graph, scores, pools->span(), multiple, least);
    if (!order) return order.error();
    order->keep_counts(counts, kept);
    return {};
}

inline status channel_selection::select(const channel_graph& graph, std::span<const float> scores,
                                        std::span<const std::uint32_t> pools,
                                        std::span<std::uint8_t> kept) const noexcept {
    if (const status ok = check(graph, scores, kept); !ok) return ok;
    if (pools.size() != graph.n_groups())
        return error{errc::shape_mismatch, "channel_selection: a pool for each group"};
    for (const std::uint32_t p : pools)
        if (p >= graph.n_groups()) return error{errc::invalid_argument, "no such pool", p};
    auto order = detail::removal_order::make(graph, scores, pools, multiple, least);
    auto tried = buffer<std::uint8_t>::make(graph.n_classes());
    if (!order) return order.error();
    if (!tried) return tried.error();

    const auto left = [&] { return static_cast<double>(graph.multiply_adds(tried->span())); };
    order->keep(0, tried->span());
    const double most = (1.0 - share) * left();
    const auto removes_enough = [&](std::size_t n) {
        order->keep(n, tried->span());
        return left() <= most;
    };
    std::size_t too_few = 0, enough = order->size();  // what goes first goes with more, too
    if (!removes_enough(enough))
        return error{errc::invalid_argument, "channel_selection: that share cannot be removed"};
    while (too_few < enough) {
        const std::size_t middle = too_few + (enough - too_few) / 2;
        if (removes_enough(middle)) enough = middle;
        else too_few = middle + 1;
    }
    order->keep_most(enough, tried->span(), [&] { return left() <= most; });
    for (std::size_t c = 0; c < kept.size(); ++c) kept[c] = (*tried)[c];
    return {};
}

}  // namespace pare::prune::inline PARE_ARCH_NAMESPACE

#endif  // PARE_PRUNE_CHANNEL_SELECTION_HPP
