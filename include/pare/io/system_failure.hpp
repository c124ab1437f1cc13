// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_IO_SYSTEM_FAILURE_HPP
#define PARE_IO_SYSTEM_FAILURE_HPP

#include "../core/status.hpp"

#include <cerrno>
#include <cstddef>

namespace pare::io::inline PARE_ARCH_NAMESPACE {

/// The failure of the system call that was made last: `where` is errno.
inline error system_failure(const char* message) noexcept {
    return {errc::io_failure, message, static_cast<std::size_t>(errno)};
}

}  // namespace pare::io::inline PARE_ARCH_NAMESPACE

#endif  // PARE_IO_SYSTEM_FAILURE_HPP
