// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "products.hpp"

namespace bench {

static const bool gemms = add_own(
    "gemm", [](const shape& s) { return s.batch > 1; },
    [](const auto& w, auto x, auto y, auto&& run) { return pare::gemm(w, x, y, run); });

}  // namespace bench
