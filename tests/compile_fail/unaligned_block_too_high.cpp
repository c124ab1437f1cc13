// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
// expect: has blocks of 2 to 32 rows
#include <pare/prune/unaligned_block.hpp>

#ifdef CORRECTED
constexpr int height = 32;
#else
constexpr int height = 64;
#endif
pare::prune::unaligned_block<height> pattern;
