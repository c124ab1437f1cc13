// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
// expect: recipe: .permutation searches an order
#include <pare/compress.hpp>
#include <pare/prune/gyro.hpp>
#include <pare/prune/hinm.hpp>

#ifdef CORRECTED
using pattern = pare::prune::hinm<2, 4, 32>;
#else
using pattern = pare::prune::n_m<2, 4>;
#endif

pare::recipe<pare::prune::magnitude, pattern, pare::quant::cast<float>, pare::prune::gyro> recipe;
