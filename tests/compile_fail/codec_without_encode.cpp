// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
// expect: \.codec needs value_type and encode\(float\) noexcept
#include <pare/compress.hpp>

struct sign {
    using value_type = float;
#ifdef CORRECTED
    float encode(float weight) const noexcept { return weight < 0.0f ? -1.0f : 1.0f; }
#endif
};

const pare::recipe recipe{pare::prune::magnitude{}, pare::prune::n_m<2, 4>{}, sign{}};
