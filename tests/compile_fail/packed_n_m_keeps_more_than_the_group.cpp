// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
// expect: needs 1 <= N <= M <= 32
#include <pare/packed/n_m.hpp>

#ifdef CORRECTED
constexpr int n = 4;
#else
constexpr int n = 5;
#endif
pare::packed::n_m<n, 4> layout;
