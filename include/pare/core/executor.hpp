// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_CORE_EXECUTOR_HPP
#define PARE_CORE_EXECUTOR_HPP

#include "config.hpp"

#include <cstddef>

namespace pare {

/// Something that can run a loop. `parallel_for(n, grain, fn)` calls `fn(begin, end)` for ranges
/// that cover [0, n) exactly once, in any order and on any thread, each begin a multiple of `grain`
/// and each range a multiple of it long (the last may be shorter), and returns when all have
/// returned. Neither throws: kernels are noexcept, so the program would end. An engine's own job
/// system becomes an executor in one line.
template <class E>
concept executor = requires(E& e, std::size_t n, void (*fn)(std::size_t, std::size_t)) {
    e.parallel_for(n, n, fn);
};

/// Runs everything in the calling thread. The default everywhere.
struct serial {
    void parallel_for(std::size_t n, std::size_t /*grain*/, auto&& fn) const {
        if (n != 0) fn(std::size_t{0}, n);
    }
};

static_assert(executor<serial>);

}  // namespace pare

#endif  // PARE_CORE_EXECUTOR_HPP
