// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_COMMON_INTEGER_INPUTS_HPP
#define PARE_EXAMPLES_COMMON_INTEGER_INPUTS_HPP

#include <pare/core/thread_pool.hpp>
#include <pare/kernel/maps.hpp>
#include <pare/kernel/quantised_tokens.hpp>
#include <pare/kernel/window.hpp>

#include <cstddef>
#include <vector>

namespace tools {

/// Inputs of a layer as whole numbers, in memory that serves the next ones too.
class integer_inputs {
  public:
    /// x (tokens, in_features)
    pare::quantised_tokens of(pare::matrix_view<const float> x, pare::thread_pool& run);
    /// Tokens are what output pixels [first, first + n) of a convolution see, counted through all
    /// images; see pare::kernel::gather_patches.
    pare::quantised_tokens of(const pare::window& over, pare::maps<const float> x,
                              std::size_t first, std::size_t n, pare::thread_pool& run);

  private:
    std::vector<std::byte> codes_;
    std::vector<float> by_tap_, by_pixel_;  // patches: (taps, pixels), (pixels, taps)
};

}  // namespace tools

#endif  // PARE_EXAMPLES_COMMON_INTEGER_INPUTS_HPP
