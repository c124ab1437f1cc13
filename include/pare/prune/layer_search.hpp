// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PRUNE_LAYER_SEARCH_HPP
#define PARE_PRUNE_LAYER_SEARCH_HPP

#include "hinm_order.hpp"
#include "output_search.hpp"
#include "search_limit.hpp"
#include "tile_search.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace pare::prune::inline PARE_ARCH_NAMESPACE::detail {

/// The search for the order of a whole layer: tiles side by side, each with its own numbers drawn
/// at random, so that the threads do not matter. What it holds is the best order so far.
template <int N, int M, executor E, search_observer Observer>
class layer_search {
  public:
    using search = tile_search<N, M>;

    /// `start` is what the search may not fall below. scores, run and observe must outlive it.
    static result<layer_search> make(matrix_view<const float> scores, hinm_order start,
                                     std::uint64_t seed, E& run, Observer& observe) noexcept;

    /// The share of all scores that the best order retains.
    double retained() const noexcept { return share(best_); }
    hinm_order& order() noexcept { return best_.order; }
    std::size_t rounds() const noexcept { return rounds_; }

    /// Offers another order, its columns as given. @return the share that it retains
    double offer(const hinm_order& order, search_limit& limit) noexcept;

    /// The share that each phase of gyro-permutation retains, whether or not it is the best.
    struct phases {
        double output, input;
    };
    result<phases> gyro(bool outputs, bool inputs, search_limit& limit) noexcept;

    /// One round of the longer search: the first regroups, then come in turn other rows for the
    /// tiles, unless outputs stay in place, and other columns.
    void go_on(bool outputs, search_limit& limit) noexcept;

  private:
    // An order and what each tile retains.
    struct candidate {
        hinm_order order;
        buffer<double> retained;

        double total() const noexcept {
            double sum = 0.0;
            for (const double x : retained.span()) sum += x;
            return sum;
        }
    };
    static constexpr std::size_t n_slots = 16;  // tiles at a time, for their memory

    layer_search(matrix_view<const float> scores, std::uint64_t seed, E& run,
                 Observer& observe) noexcept
        : scores_(scores), seed_(seed), run_(&run), observe_(&observe) {}

    static void assign(std::span<const std::uint32_t> from, std::span<std::uint32_t> to) noexcept {
        for (std::size_t i = 0; i < from.size(); ++i) to[i] = from[i];
    }
    static std::size_t least(std::size_t a, std::size_t b) noexcept { return a < b ? a : b; }
    static void copy(const hinm_order& from, hinm_order& to) noexcept {
        assign(from.outputs(), to.outputs());
        for (std::size_t t = 0; t < from.n_tiles(); ++t) assign(from.columns(t), to.columns(t));
    }
    random draw(std::size_t which) const noexcept {
        random mixed(seed_ + phase_ * 0x9e3779b97f4a7c15u);
        return random(mixed.next() ^ (which * 0xd1342543de82ef95u));
    }
    template <class Work>
    bool work_on_tiles(candidate& on, search_limit* limit, Work&& work) noexcept;
    double share(const candidate& of) const noexcept {
        return total_ > 0.0 ? of.total() / total_ : 1.0;
    }
    void take_if_better() noexcept {
        if (other_.total() <= best_.total()) return;
        std::swap(best_.order, other_.order);
        std::swap(best_.retained, other_.retained);
    }
    void anneal_rows(search_limit& limit) noexcept;
    void report(search_limit& limit) noexcept {
        if (!(*observe_)(search_progress{rounds_, retained()})) limit.cancel();
    }
    // Whether to end; for long steps in the caller's thread, which the observer hears of, too.
    auto asking(search_limit& limit) noexcept {
        return [this, &limit] {
            if (limit.due()) report(limit);
            return limit();
        };
    }

    matrix_view<const float> scores_;
    std::uint64_t seed_, phase_ = 0;
    E* run_;
    Observer* observe_;
    float scale_ = 1.0f;
    double total_ = 0.0;  // of all scores, scaled like what is retained
    std::size_t rounds_ = 0;
    candidate best_, other_;
    std::array<search, n_slots> slots_;
    output_search outputs_;
};

template <int N, int M, executor E, search_observer Observer>
result<layer_search<N, M, E, Observer>> layer_search<N, M, E, Observer>::make(
    matrix_view<const float> scores, hinm_order start, std::uint64_t seed, E& run,
    Observer& observe) noexcept {
    layer_search made(scores, seed, run, observe);
    made.scale_ = unit_of({&scores, 1});
    for (std::size_t r = 0; r < scores.rows(); ++r)
        for (const float x : scores.row_span(r))
            made.total_ += static_cast<double>(x * made.scale_);
    auto other = start.copy();
    auto retained = buffer<double>::make(start.n_tiles());
    auto other_retained = buffer<double>::make(start.n_tiles());
    auto outputs = output_search::make(scores.rows(), scores.cols(), start.tile_rows(),
                                       start.kept(), made.scale_);
    if (!other) return other.error();
    if (!retained) return retained.error();
    if (!other_retained) return other_retained.error();
    if (!outputs) return outputs.error();
    const std::size_t rows = least(start.tile_rows(), scores.rows());
    for (std::size_t i = 0; i < least(n_slots, start.n_tiles()); ++i) {
        auto slot = search::make(rows, scores.cols(), start.kept());
        if (!slot) return slot.error();
        made.slots_[i] = *std::move(slot);
    }
    made.other_ = {*std::move(other), *std::move(other_retained)};
    made.best_ = {std::move(start), *std::move(retained)};
    made.outputs_ = *std::move(outputs);
    made.work_on_tiles(made.best_, nullptr, [](search&, random&) {});
    return made;
}

// Every tile, placed as its order says, is worked on and read back. Without a limit nobody is told.
// @return whether all of them were; of those left out nothing has changed
template <int N, int M, executor E, search_observer Observer>
template <class Work>
bool layer_search<N, M, E, Observer>::work_on_tiles(candidate& on, search_limit* limit,
                                                    Work&& work) noexcept {
    ++phase_;
    const std::size_t n_tiles = on.order.n_tiles();
    for (std::size_t first = 0; first < n_tiles; first += n_slots) {
        if (limit != nullptr && (*limit)()) return false;
        const std::size_t n = least(n_slots, n_tiles - first);
        run_->parallel_for(n, 1, [&](std::size_t begin, std::size_t end) {
            for (std::size_t i = begin; i < end; ++i) {
                search& at = slots_[i];
                random numbers = draw(first + i);
                at.tile.start(on.order.outputs_of(first + i).size(), scale_);
                at.tile.read(scores_, on.order.outputs_of(first + i));
                at.tile.place(std::as_const(on.order).columns(first + i));
                work(at, numbers);
                assign(at.tile.columns(), on.order.columns(first + i));
                on.retained[first + i] = at.tile.retained();
            }
        });
        if (limit != nullptr) report(*limit);
    }
    return true;
}

template <int N, int M, executor E, search_observer Observer>
double layer_search<N, M, E, Observer>::offer(const hinm_order& order,
                                              search_limit& limit) noexcept {
    copy(order, other_.order);
    if (!work_on_tiles(other_, &limit, [](search&, random&) {})) return 0.0;
    const double offered = share(other_);
    take_if_better();
    return offered;
}

template <int N, int M, executor E, search_observer Observer>
result<typename layer_search<N, M, E, Observer>::phases> layer_search<N, M, E, Observer>::gyro(
    bool outputs, bool inputs, search_limit& limit) noexcept {
    phases found;
    copy(best_.order, other_.order);
    random numbers = draw(0);
    if (outputs)
        if (auto ok =
                outputs_.permute(scores_, other_.order.outputs(), numbers, *run_, asking(limit));
            !ok)
            return ok.error();
    // However soon it ends, rows that were moved count.
    work_on_tiles(other_, nullptr, [](search& at, random&) { at.tile.keep_best(); });
    found.output = found.input = share(other_);
    // Tiles that it does not reach stay as the first phase left them.
    if (inputs)
        work_on_tiles(other_, &limit, [&](search& at, random& own) {
            serial alone;
            at.reassign(own, alone, limit);
        });
    found.input = share(other_);
    take_if_better();
    return found;
}

template <int N, int M, executor E, search_observer Observer>
void layer_search<N, M, E, Observer>::anneal_rows(search_limit& limit) noexcept {
    copy(best_.order, other_.order);
    random numbers = draw(0);
    const std::size_t doubled = least(rounds_ / 2, 6);
    outputs_.anneal(scores_, other_.order.outputs(), scores_.rows() << (6 + doubled), numbers,
                    *run_, asking(limit));
    const bool whole = work_on_tiles(other_, &limit, [&](search& at, random& own) {
        serial alone;
        at.tile.keep_best();
        at.reassign(own, alone, limit);
        at.settle(alone, limit);
    });
    if (whole) take_if_better();
}

template <int N, int M, executor E, search_observer Observer>
void layer_search<N, M, E, Observer>::go_on(bool outputs, search_limit& limit) noexcept {
    const bool has_rows =
        outputs && best_.order.n_tiles() > 1 && best_.order.kept() < best_.order.cols();
    if (rounds_ == 0)
        work_on_tiles(best_, &limit, [&](search& at, random&) {
            serial alone;
            at.settle(alone, limit);
        });
    else if (has_rows && rounds_ % 2 == 1) anneal_rows(limit);
    else {
        const std::size_t doubled = least(rounds_ / 2, 6);
        const std::size_t n_exchanges = best_.order.kept() << (6 + doubled);
        work_on_tiles(best_, &limit, [&](search& at, random& own) {
            serial alone;
            at.anneal(n_exchanges, own, alone, limit);
        });
    }
    ++rounds_;
    report(limit);
}

}  // namespace pare::prune::inline PARE_ARCH_NAMESPACE::detail

#endif  // PARE_PRUNE_LAYER_SEARCH_HPP
