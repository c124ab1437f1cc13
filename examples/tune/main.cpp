// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "common/main.hpp"

#include "options.hpp"
#include "run.hpp"

int main(int argc, char** argv) {
    return tools::exit_code_of("pare_tune", [&] {
        if (const auto options = tuner::parse_options(argc, argv)) tuner::run(*options);
    });
}
