// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
// expect: (nodiscard|unused)
#include <pare/kernel/gemm.hpp>

void forward(const pare::packed::n_m<2, 4>& w, pare::matrix_view<const float> x,
             pare::matrix_view<float> y) {
#ifdef CORRECTED
    static_cast<void>(pare::gemm(w, x, y));
#else
    pare::gemm(w, x, y);
#endif
}
