// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_TESTS_SUPPORT_DATA_HPP
#define PARE_TESTS_SUPPORT_DATA_HPP

#include "catch.hpp"

#include <cstdlib>
#include <filesystem>
#include <string>

namespace pare::testing {

/// Where the evaluation data lies: the folder named by PARE_DATA, else ../shared/data beside the
/// source tree. It is no part of the project and may be absent.
inline std::filesystem::path data_root() {
    const char* named = std::getenv("PARE_DATA");
    return named != nullptr && *named != '\0'
               ? std::filesystem::path(named)
               : std::filesystem::path(PARE_SOURCE_DIR) / ".." / "shared" / "data";
}

}  // namespace pare::testing

/// Defines `name` as the path of a data file, or leaves the test, which ctest then shows as
/// skipped.
#define PARE_DATA_OR_SKIP(name, relative)                                       \
    const std::filesystem::path name = ::pare::testing::data_root() / relative; \
    if (!std::filesystem::exists(name)) {                                       \
        WARN("skipped: no " << name.string() << "; set PARE_DATA");             \
        return;                                                                 \
    }                                                                           \
    static_cast<void>(0)

#endif  // PARE_TESTS_SUPPORT_DATA_HPP
