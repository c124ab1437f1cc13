// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "common/error.hpp"
#include "options.hpp"
#include "run.hpp"

#include <cstdio>
#include <exception>
#include <new>

int main(int argc, char** argv) {
    try {
        if (const auto options = kvlab::parse_options(argc, argv)) kvlab::run(*options);
        return 0;
    } catch (const tools::usage_error& e) {
        std::fprintf(stderr, "pare_kvlab: %s\n", e.what());
        return 2;
    } catch (const std::bad_alloc&) {
        std::fprintf(stderr, "pare_kvlab: not enough memory for this model or trace\n");
    } catch (const std::exception& e) {
        std::fprintf(stderr, "pare_kvlab: %s\n", e.what());
    }
    return 1;
}
