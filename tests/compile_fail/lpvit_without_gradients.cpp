// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
// expect: this saliency needs calibration: compress\(weights, recipe, calibration\)
#include <pare/compress.hpp>
#include <pare/prune/block.hpp>
#include <pare/prune/lpvit.hpp>

bool compresses(pare::matrix_view<const float> weights, const pare::prune::calibration& inputs) {
    const pare::recipe recipe{pare::prune::lpvit{}, pare::prune::block<8>{}};
#ifdef CORRECTED
    return pare::compress(weights, recipe, inputs).has_value();
#else
    static_cast<void>(inputs);
    return pare::compress(weights, recipe).has_value();
#endif
}
