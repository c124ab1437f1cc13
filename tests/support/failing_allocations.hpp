// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_TESTS_SUPPORT_FAILING_ALLOCATIONS_HPP
#define PARE_TESTS_SUPPORT_FAILING_ALLOCATIONS_HPP

// Replaces the operator new that pare::buffer calls: for one file of a test program at most.

#include <pare/core/status.hpp>

#include "catch.hpp"

#include <cstddef>
#include <cstdlib>
#include <new>

namespace pare::testing {

inline int n_until_failure = -1;  // negative: never

}  // namespace pare::testing

// What buffer calls: aligned and not throwing.
void* operator new(std::size_t size, std::align_val_t alignment, const std::nothrow_t&) noexcept {
    if (pare::testing::n_until_failure >= 0 && pare::testing::n_until_failure-- == 0)
        return nullptr;
    const auto unit = static_cast<std::size_t>(alignment);
    return std::aligned_alloc(unit, (size + unit - 1) / unit * unit);
}
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }

namespace pare::testing {

/// Runs `work` with its first, second, ... allocation failing until one run makes no failing one.
/// @return the number of runs that failed, each of which must have said out_of_memory.
inline int fail_each_allocation(auto&& work) {
    for (int n = 0;; ++n) {
        n_until_failure = n;
        const pare::status outcome = work();
        const bool failed_one = n_until_failure < 0;
        n_until_failure = -1;
        REQUIRE(outcome.has_value() == !failed_one);
        if (outcome) return n;
        REQUIRE(outcome.error().code == pare::errc::out_of_memory);
    }
}

}  // namespace pare::testing

#endif  // PARE_TESTS_SUPPORT_FAILING_ALLOCATIONS_HPP
