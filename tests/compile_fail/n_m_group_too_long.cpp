// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
// expect: groups of at most 32 weights
#include <pare/prune/n_m.hpp>

#ifdef CORRECTED
constexpr int m = 32;
#else
constexpr int m = 64;
#endif
pare::prune::n_m<2, m> pattern;
