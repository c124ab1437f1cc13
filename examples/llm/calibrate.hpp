// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_LLM_CALIBRATE_HPP
#define PARE_EXAMPLES_LLM_CALIBRATE_HPP

#include "dataset.hpp"
#include "model.hpp"

#include <functional>
#include <string>
#include <vector>

namespace llm {

/// Runs the dense model over calibration text, block after block so that one block's Gram matrices
/// are alive at a time, and collects what the saliencies need of each linear layer's input.
/// @param told  called once per block
/// @throws tools::failure
std::vector<block_statistics> calibrate(
    const model& dense, const windows& text, bool inverse_hessian,
    const std::function<void()>& told = [] {});

/// Writes a safetensors file with the input_sums of each linear layer, Gram matrices included,
/// under the name of its weights. All blocks' are in memory until then.
/// @param told  called once per block
/// @throws tools::failure
void save_calibration(const model& dense, const windows& text, const std::string& file,
                      const std::function<void()>& told);

}  // namespace llm

#endif  // PARE_EXAMPLES_LLM_CALIBRATE_HPP
