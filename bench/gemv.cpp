// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "products.hpp"

namespace bench {

static const bool gemvs = add_own(
    "gemv", [](const shape& s) { return s.batch == 1; },
    [](const auto& w, auto x, auto y, auto&& run) {
        return pare::gemv(w, {x.data_handle(), x.cols()}, {y.data_handle(), y.cols()}, run);
    });

}  // namespace bench
