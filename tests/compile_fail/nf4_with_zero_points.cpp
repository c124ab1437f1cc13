// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
// expect: only whole numbers have a zero point
#include <pare/packed/coded.hpp>

#ifdef CORRECTED
using stored = pare::packed::coded<pare::code_i4, 64, true>;
#else
using stored = pare::packed::coded<pare::code_nf4, 64, true>;
#endif
static_assert(stored::bits == 4);
