// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_ALLOCATE_PAGCP_HPP
#define PARE_ALLOCATE_PAGCP_HPP

#include "../core/buffer.hpp"
#include "../prune/search_limit.hpp"
#include "concepts.hpp"

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>

namespace pare::allocate {

/// Writes the loss of each task of a model that is cut so, each >= 0: of one, or of the parts of a
/// detector's. What is NaN or infinite counts as too much.
template <class F>
concept task_losses = requires(F& f, std::span<const level> levels, std::span<double> losses) {
    f(levels, losses);
};

/// What a model that is cut so costs, in multiply-adds for one.
template <class F>
concept cost_function = requires(F& f, std::span<const level> levels) {
    { f(levels) } -> std::convertible_to<std::uint64_t>;
};

inline namespace PARE_ARCH_NAMESPACE {

/// Cuts one layer after the other, each ever deeper until the loss of a task has grown by more than
/// the layer is allowed; at level 0 a layer is whole, at each next one narrower (5, 10, ..., 95 %
/// of the channels removed there). Ye et al., "Performance-aware Approximation of Global Channel
/// Pruning for Multitask CNNs", arXiv:2303.11923.
///
/// The first layer's loss may be (1 + first) times what it was, the next one's (1 + lambda first)
/// times what it then is, and so on: lambda is such that the product for all layers is `total`.
/// Layers that cost most come first, or last where lambda > 1, so that the largest allowance meets
/// the costliest layer. Then, beyond a share of the layers, the cuts whose losses grew most for
/// what they saved are undone.
///
/// Deviations: a layer that may go all the way does, where their code leaves it whole; layers are
/// cut and undone by what `cost` says of the model around them.
struct pagcp {
    double first = 0.05;    ///< growth of the losses that the first layer is allowed
    double total = 1.5;     ///< times the losses of the whole model that all layers may end at
    double share = 0.8;     ///< of the layers that stay cut, at most
    std::size_t probe = 6;  ///< level at which the cost of layers is compared, 30 % there
    std::optional<std::chrono::nanoseconds> deadline{};  ///< from the call on

    /// @return invalid_argument for allowances that are not finite or not positive, a total below 1
    /// + first, a share outside [0, 1]
    status check() const noexcept;

    /// By what each allowance is multiplied to get the next. @pre check()
    double lambda(std::size_t n_layers) const noexcept;

    /// levels (layers): on return how deep each is cut. Deterministic. It ends early at the
    /// deadline or when the observer, told before each layer, says so. What `losses` and `cost`
    /// throw passes through. @return the sum of the losses, what the model costs (bytes), layers
    /// visited; as check(); invalid_argument for fewer than two levels or no task; not_a_number
    /// where the whole model's loss is none; out_of_memory
    template <task_losses Losses, cost_function Cost, observer Observer = prune::unobserved>
    result<outcome> search(std::size_t n_tasks, level n_levels, std::span<level> levels,
                           Losses&& losses, Cost&& cost, Observer&& observe = {}) const;

  private:
    struct visit {
        std::size_t layer;
        double rank;  // saved at the probe; then growth of the losses by what the cut saves
    };
    void undo(std::span<visit> visits, std::span<level> levels) const noexcept;
    // In place, stable.
    static void sort(std::span<visit> visits, auto&& before) noexcept {
        for (std::size_t i = 1; i < visits.size(); ++i)
            for (std::size_t j = i; j > 0 && before(visits[j], visits[j - 1]); --j)
                std::swap(visits[j], visits[j - 1]);
    }
    static void copy(std::span<const double> from, std::span<double> to) noexcept {
        for (std::size_t t = 0; t < to.size(); ++t) to[t] = from[t];
    }
    static bool within(std::span<const double> losses, std::span<const double> base,
                       double growth) noexcept {
        for (std::size_t t = 0; t < losses.size(); ++t)
            if (!is_finite(losses[t]) || losses[t] > growth * base[t]) return false;
        return true;
    }
    static double sum(std::span<const double> losses) noexcept {
        double all = 0.0;
        for (const double loss : losses) all += loss;
        return all;
    }
};

inline void pagcp::undo(std::span<visit> visits, std::span<level> levels) const noexcept {
    sort(visits, [](const visit& a, const visit& b) { return a.rank < b.rank; });
    auto may_stay = static_cast<std::size_t>(share * static_cast<double>(levels.size()));
    for (const visit& v : visits) {
        if (levels[v.layer] == 0) continue;
        if (may_stay == 0) levels[v.layer] = 0;
        else --may_stay;
    }
}

inline status pagcp::check() const noexcept {
    if (is_finite(first) && first > 0.0 && is_finite(total) && total >= 1.0 + first &&
        is_finite(share) && share >= 0.0 && share <= 1.0)
        return {};
    return error{errc::invalid_argument, "pagcp: first > 0, total >= 1 + first, share in [0, 1]"};
}

inline double pagcp::lambda(std::size_t n_layers) const noexcept {
    if (n_layers < 2) return 1.0;
    const auto exceeds = [&](double factor) {
        double product = 1.0, allowed = first;
        for (std::size_t i = 0; i < n_layers && product <= total; ++i, allowed *= factor)
            product *= 1.0 + allowed;
        return product > total;
    };
    double low = 0.0, high = 1.0;
    while (!exceeds(high)) high *= 2.0;
    for (int i = 0; i < 60; ++i) {
        const double middle = 0.5 * (low + high);
        (exceeds(middle) ? high : low) = middle;
    }
    return low;
}

template <task_losses Losses, cost_function Cost, observer Observer>
result<outcome> pagcp::search(std::size_t n_tasks, level n_levels, std::span<level> levels,
                              Losses&& losses, Cost&& cost, Observer&& observe) const {
    const prune::search_limit limit(deadline);
    if (auto ok = check(); !ok) return ok.error();
    if (n_levels < 2 || n_tasks == 0)
        return error{errc::invalid_argument, "pagcp: no level to cut to, or no task"};
    auto memory = buffer<double>::make(3 * n_tasks);
    auto order = buffer<visit>::make(levels.size());
    if (!memory) return memory.error();
    if (!order) return order.error();
    const auto base = memory->span().first(n_tasks), now = memory->span().subspan(n_tasks, n_tasks),
               last = memory->span().last(n_tasks);
    outcome found;
    const auto measure = [&](std::span<double> to) {
        ++found.evaluations;
        losses(std::span<const level>(levels), to);
    };
    const auto costs = [&] {
        return static_cast<std::uint64_t>(cost(std::span<const level>(levels)));
    };

    for (level& l : levels) l = 0;
    measure(base);
    for (const double loss : base)
        if (!is_finite(loss))
            return error{errc::not_a_number, "pagcp: the loss of the whole model is no number"};
    const std::uint64_t whole = costs();
    for (std::size_t l = 0; l < levels.size(); ++l) {
        levels[l] = static_cast<level>(probe < n_levels ? probe : n_levels - 1);
        (*order)[l] = {l, static_cast<double>(whole) - static_cast<double>(costs())};
        levels[l] = 0;
    }
    const double factor = lambda(levels.size());
    sort(order->span(), [&](const visit& a, const visit& b) {
        return factor <= 1.0 ? a.rank > b.rank : a.rank < b.rank;
    });

    double allowed = first;
    found.loss = sum(base);
    found.bytes = whole;
    for (visit& v : order->span()) {
        if (!observe(std::as_const(found)) || limit()) break;
        ++found.rounds;
        level& at = levels[v.layer];
        for (; at + 1 < n_levels && !limit(); copy(now, last)) {
            ++at;
            measure(now);
            if (within(now, base, 1.0 + allowed)) continue;
            --at;
            break;
        }
        if (at == 0) continue;
        const std::uint64_t left = costs();
        const double saved = static_cast<double>(found.bytes) - static_cast<double>(left);
        v.rank = (sum(last) - sum(base)) / (saved > 1.0 ? saved : 1.0);
        found.loss = sum(last);
        found.bytes = left;
        allowed *= factor;
        for (std::size_t t = 0; t < n_tasks; ++t) base[t] = base[t] > last[t] ? base[t] : last[t];
    }

    undo(order->span().first(found.rounds), levels);
    measure(now);
    found.loss = sum(now);
    found.bytes = costs();
    return found;
}

}  // namespace PARE_ARCH_NAMESPACE

}  // namespace pare::allocate

#endif  // PARE_ALLOCATE_PAGCP_HPP
