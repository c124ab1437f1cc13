// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
// expect: stores weights as float, pare::f16 or pare::bf16
#include <pare/quant/cast.hpp>

#ifdef CORRECTED
pare::quant::cast<pare::bf16> codec;
#else
pare::quant::cast<double> codec;
#endif
