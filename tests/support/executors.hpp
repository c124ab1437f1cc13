// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_TESTS_SUPPORT_EXECUTORS_HPP
#define PARE_TESTS_SUPPORT_EXECUTORS_HPP

#include <pare/core/executor.hpp>

#include <cstddef>

namespace pare::testing {

/// Allowed by the concept and as far from `serial` as it goes: one grain at a time, last first.
struct backwards {
    void parallel_for(std::size_t n, std::size_t grain, auto&& fn) const {
        for (std::size_t i = (n + grain - 1) / grain; i-- > 0;)
            fn(i * grain, i * grain + (n - i * grain < grain ? n - i * grain : grain));
    }
};

static_assert(executor<backwards>);

}  // namespace pare::testing

#endif  // PARE_TESTS_SUPPORT_EXECUTORS_HPP
