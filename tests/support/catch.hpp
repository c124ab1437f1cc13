// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_TESTS_SUPPORT_CATCH_HPP
#define PARE_TESTS_SUPPORT_CATCH_HPP

// The one place that knows which Catch2 it is. Tests keep to what versions 2 and 3 share.
#include <catch2/catch.hpp>

#endif  // PARE_TESTS_SUPPORT_CATCH_HPP
