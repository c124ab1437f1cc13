// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "common/main.hpp"

#include "options.hpp"
#include "run.hpp"

int main(int argc, char** argv) {
    return tools::exit_code_of("pare_compress", [&] {
        compressor::ranks alone;
        if (const auto options = compressor::parse_options(argc, argv))
            compressor::run(*options, alone);
    });
}
