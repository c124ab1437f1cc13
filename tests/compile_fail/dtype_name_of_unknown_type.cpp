// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
// expect: dtype_name: not a storage type of pare
#include <pare/core/dtype.hpp>

#ifdef CORRECTED
constexpr auto name = pare::dtype_name<pare::f16>();
#else
constexpr auto name = pare::dtype_name<long>();
#endif
