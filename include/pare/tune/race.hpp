// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_TUNE_RACE_HPP
#define PARE_TUNE_RACE_HPP

#include "candidate.hpp"

#include <algorithm>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <span>

namespace pare::tune {

/// How candidates are timed. In every round each has its turn, so that all see the same weather on
/// the machine.
struct schedule {
    std::size_t rounds = 15;
    std::size_t runs = 1;     ///< of a turn, timed together
    std::size_t warm_up = 1;  ///< of a turn, before these
    /// Of each candidate's weights; runs go from one to the next. 1: they stay in the caches. Where
    /// all copies take more than the caches hold they come from memory, as in decoding; where they
    /// fit, set warm_up to at least as many, or the first runs find them cold.
    std::size_t copies = 1;
};

/// Numbers of memory that race() asks for.
PARE_ALWAYS_INLINE constexpr std::size_t race_scratch(std::size_t candidates,
                                                      const schedule& s) noexcept {
    return (candidates + 1) * s.rounds;
}

inline namespace PARE_ARCH_NAMESPACE {

/// Seconds since some moment.
struct steady_seconds {
    double operator()() const noexcept {
        const std::chrono::duration<double> since =
            std::chrono::steady_clock::now().time_since_epoch();
        return since.count();
    }
};

namespace detail {

struct ascending {
    bool operator()(double a, double b) const noexcept { return a < b; }
};

/// The element of that rank; reorders them.
inline double ranked(std::span<double> values, std::size_t rank) noexcept {
    double* const at = values.data() + rank;
    std::nth_element(values.data(), at, values.data() + values.size(), ascending{});
    return *at;
}

/// seconds: (rounds) of it and of dense; memory: (rounds)
inline void summarise(std::span<const double> seconds, std::span<const double> dense,
                      std::span<double> memory, candidate& c) noexcept {
    const std::size_t n = seconds.size();
    for (std::size_t r = 0; r < n; ++r) memory[r] = seconds[r];
    c.seconds = ranked(memory, n / 2);
    for (std::size_t r = 0; r < n; ++r) memory[r] = dense[r] / seconds[r];
    c.speedup = ranked(memory, n / 2);
    c.least_speedup = ranked(memory, n / 4);
}

}  // namespace detail

/// Times the candidates by turns, and says how fast each is and how much faster than the first, by
/// the rounds' ratios: what slows down a whole round slows down both.
/// @param scratch  race_scratch() numbers
/// @param run      run(candidate, copy) makes one product; must not throw
/// @param now      seconds; a clock that tests can set
/// @return invalid_argument for an empty field or schedule, or a clock that did not move while a
/// candidate ran; buffer_too_small
template <std::invocable<std::size_t, std::size_t> Run, class Clock = steady_seconds>
status race(std::span<candidate> field, const schedule& s, std::span<double> scratch, Run&& run,
            Clock&& now = {}) noexcept {
    const std::size_t n = field.size(), rounds = s.rounds;
    if (n == 0 || rounds == 0 || s.runs == 0 || s.copies == 0)
        return error{errc::invalid_argument, "race: nothing to time"};
    if (scratch.size() < race_scratch(n, s)) return error{errc::buffer_too_small, "race: scratch"};
    for (std::size_t round = 0; round < rounds; ++round)
        for (std::size_t turn = 0; turn < n; ++turn) {
            const std::size_t i = (round + turn) % n;  // nobody always runs behind the same one
            std::size_t copy = round * (s.warm_up + s.runs);
            for (std::size_t r = 0; r < s.warm_up; ++r) run(i, copy++ % s.copies);
            const double before = now();
            for (std::size_t r = 0; r < s.runs; ++r) run(i, copy++ % s.copies);
            const double took = (now() - before) / static_cast<double>(s.runs);
            if (!(took > 0.0))
                return error{errc::invalid_argument, "race: too few runs for this clock", i};
            scratch[i * rounds + round] = took;
        }
    const auto dense = scratch.first(rounds), memory = scratch.subspan(n * rounds, rounds);
    for (std::size_t i = 0; i < n; ++i)
        detail::summarise(scratch.subspan(i * rounds, rounds), dense, memory, field[i]);
    return {};
}

}  // namespace PARE_ARCH_NAMESPACE

}  // namespace pare::tune

#endif  // PARE_TUNE_RACE_HPP
