// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
// expect: \.pattern needs select\(scores, mask\) and check\(\)
#include <pare/compress.hpp>

struct checkerboard {
    void select(pare::matrix_view<const float>, pare::prune::mask_view) const noexcept {}
#ifdef CORRECTED
    pare::status check() const noexcept { return {}; }
#endif
};

const pare::recipe recipe{pare::prune::magnitude{}, checkerboard{}};
