// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_LLM_ROTARY_HPP
#define PARE_EXAMPLES_LLM_ROTARY_HPP

#include <pare/core/tensor_view.hpp>

#include <cstddef>
#include <span>
#include <vector>

namespace llm {

/// Turns queries or keys (tokens, heads * head_dim), the first of which stands at `position`, by
/// their positions: pairs of neighbours (interleaved) or of the halves of a head.
class rotary {
  public:
    /// @param frequencies  (head_dim / 2) angle per position
    rotary(std::span<const double> frequencies, std::size_t n_positions, bool interleaved);
    void apply(pare::matrix_view<float> heads, std::size_t position) const;

  private:
    std::size_t half_;
    bool interleaved_;
    std::vector<float> cosines_, sines_;  // (n_positions, head_dim / 2)
};

}  // namespace llm

#endif  // PARE_EXAMPLES_LLM_ROTARY_HPP
