// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_VERSION_HPP
#define PARE_VERSION_HPP

// The one place of the version; CMake reads it from here.
#define PARE_VERSION_MAJOR 0
#define PARE_VERSION_MINOR 1
#define PARE_VERSION_PATCH 0

#endif  // PARE_VERSION_HPP
