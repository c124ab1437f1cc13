// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
// expect: groups are of 32, 64, 128, ... weights
#include <pare/quant/scaled.hpp>

#ifdef CORRECTED
pare::quant::int4<pare::quant::per_group<64>> codec;
#else
pare::quant::int4<pare::quant::per_group<33>> codec;
#endif
