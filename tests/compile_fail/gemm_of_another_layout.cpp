// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
// expect: (no matching function|constraints not satisfied)
#include <pare/kernel/gemm.hpp>

// One weight, the identity: a layout, but none that a kernel reads.
struct identity {
    using value_type = float;
    std::size_t rows = 1, cols = 1;
    std::size_t required_bytes() const { return 0; }
    std::size_t output(std::size_t row) const { return row; }
    void for_each_weight(std::size_t i, auto&& visit) const { visit(i, 1.0f); }
    const identity& view() const { return *this; }
};
static_assert(pare::packed::layout<identity> && !pare::packed::known_weights<identity>);

bool forward(pare::matrix_view<const float> x, pare::matrix_view<float> y) {
#ifdef CORRECTED
    pare::kernel::gemm_ref(identity{}, x, y);
    return true;
#else
    return pare::gemm(identity{}, x, y).has_value();
#endif
}
