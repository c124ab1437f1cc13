// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "integer_inputs.hpp"

#include "error.hpp"

#include <pare/kernel/patches.hpp>
#include <pare/kernel/transpose.hpp>

namespace tools {

pare::quantised_tokens integer_inputs::of(pare::matrix_view<const float> x,
                                          pare::thread_pool& run) {
    codes_.resize(pare::quantised_tokens::required_bytes(x.rows(), x.cols()));
    return value_of(pare::quantise(x, codes_, run), "the input of a layer");
}

pare::quantised_tokens integer_inputs::of(const pare::window& over, pare::maps<const float> x,
                                          std::size_t first, std::size_t n,
                                          pare::thread_pool& run) {
    const std::size_t taps = x.extent(1) * over.kernel.height * over.kernel.width;
    by_tap_.resize(taps * n);
    by_pixel_.resize(taps * n);
    const pare::matrix_view<float> patches(by_tap_.data(), taps, n);
    const pare::matrix_view<float> tokens(by_pixel_.data(), n, taps);
    pare::kernel::gather_patches(over, x, first, patches, run);
    value_of(pare::transpose(patches, tokens.transposed(), run), "the input of a convolution");
    return of(tokens, run);
}

}  // namespace tools
