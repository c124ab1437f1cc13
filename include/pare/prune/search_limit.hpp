// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PRUNE_SEARCH_LIMIT_HPP
#define PARE_PRUNE_SEARCH_LIMIT_HPP

#include "../core/config.hpp"

#include <atomic>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace pare::prune {

/// How far a search has come.
struct search_progress {
    std::size_t rounds;  ///< of the longer search that are done
    double retained;     ///< share of all saliency, of the best order so far
};

/// Is told how far a search has come, in the caller's thread; returns false to end it, whose result
/// is then the best order so far.
template <class F>
concept search_observer = requires(F& f, const search_progress& p) {
    { f(p) } -> std::same_as<bool>;
};

/// Never ends a search.
struct unobserved {
    bool operator()(const auto& /*progress*/) const noexcept { return true; }
};

inline namespace PARE_ARCH_NAMESPACE {

/// Whether a search has to end: a deadline, or an observer's word. Any thread may ask.
class search_limit {
  public:
    /// No deadline where `after` has no value. Amid a long step the observer is asked
    /// when `between` has passed.
    explicit search_limit(std::optional<std::chrono::nanoseconds> after,
                          std::chrono::nanoseconds between = {}) noexcept
        : start_(now()), after_(after ? after->count() : forever), asked_(start_),
          between_(between.count()) {}

    bool operator()() const noexcept {
        return cancelled_.load(std::memory_order_relaxed) ||
               (after_ != forever && now() - start_ >= after_);
    }
    void cancel() noexcept { cancelled_.store(true, std::memory_order_relaxed); }

    /// Whether the observer is due to be asked amid a long step, unless the search has to end
    /// anyway. For the caller's thread.
    bool due() noexcept {
        const std::int64_t at = now();
        if ((*this)() || at - asked_ < between_) return false;
        asked_ = at;
        return true;
    }

  private:
    static constexpr std::int64_t forever = INT64_MAX;
    static std::int64_t now() noexcept {
        const std::chrono::nanoseconds since = std::chrono::steady_clock::now().time_since_epoch();
        return since.count();
    }

    std::int64_t start_, after_, asked_, between_;
    std::atomic<bool> cancelled_{false};
};

}  // namespace PARE_ARCH_NAMESPACE

}  // namespace pare::prune

#endif  // PARE_PRUNE_SEARCH_LIMIT_HPP
