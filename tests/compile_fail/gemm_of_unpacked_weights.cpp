// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
// expect: (no matching function|constraints not satisfied)
#include <pare/kernel/gemm.hpp>

#ifdef CORRECTED
using weights = pare::packed::n_m<2, 4>;
#else
using weights = pare::matrix_view<const float>;
#endif

bool forward(const weights& w, pare::matrix_view<const float> x, pare::matrix_view<float> y) {
    return pare::gemm(w, x, y).has_value();
}
