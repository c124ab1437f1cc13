// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
// expect: keeps at most M of M weights
#include <pare/prune/n_m.hpp>

#ifdef CORRECTED
constexpr int n = 3;
#else
constexpr int n = 5;
#endif
pare::prune::n_m<n, 4> pattern;
