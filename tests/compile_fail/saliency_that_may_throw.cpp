// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
// expect: \.saliency needs score\(weights, calibration, scores\) const noexcept
#include <pare/compress.hpp>

struct depth {
    void score(pare::matrix_view<const float>, const pare::prune::calibration&,
               pare::matrix_view<float>) const
#ifdef CORRECTED
        noexcept
#endif
    {
    }
};

const pare::recipe recipe{depth{}, pare::prune::n_m<2, 4>{}};
