// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
// Compiled with -fno-exceptions -fno-rtti. Clang refuses even an uninstantiated throw.
#include <pare/all_headers.hpp>
