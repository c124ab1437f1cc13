// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_COMMON_MAIN_HPP
#define PARE_EXAMPLES_COMMON_MAIN_HPP

#include "error.hpp"

#include <cstdio>
#include <exception>
#include <new>

namespace tools {

/// Runs a program's body; what it throws becomes one sentence on stderr.
/// @return the exit code: 0, 1 for a failure, 2 for a command line that makes no sense
template <class Body>
int exit_code_of(const char* program, const Body& body) {
    try {
        body();
        return 0;
    } catch (const usage_error& e) {
        std::fprintf(stderr, "%s: %s\n", program, e.what());
        return 2;
    } catch (const std::bad_alloc&) {
        std::fprintf(stderr, "%s: not enough memory for this model and data\n", program);
    } catch (const std::exception& e) {
        std::fprintf(stderr, "%s: %s\n", program, e.what());
    }
    return 1;
}

}  // namespace tools

#endif  // PARE_EXAMPLES_COMMON_MAIN_HPP
