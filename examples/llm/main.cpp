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
        if (const auto options = llm::parse_options(argc, argv)) llm::run(*options);
        return 0;
    } catch (const tools::usage_error& e) {
        std::fprintf(stderr, "pare_llm: %s\n", e.what());
        return 2;
    } catch (const std::bad_alloc&) {
        std::fprintf(stderr, "pare_llm: not enough memory for this model and text\n");
    } catch (const std::exception& e) {
        std::fprintf(stderr, "pare_llm: %s\n", e.what());
    }
    return 1;
}
