// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
// expect: (no viable|could not convert|no matching|cannot convert)
#include <pare/core/tensor_view.hpp>

#ifdef CORRECTED
using element = const float;
#else
using element = float;
#endif
pare::matrix_view<element> writable(pare::matrix_view<const float> weights) { return weights; }
