// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_COMPRESS_CHANNEL_LOSS_HPP
#define PARE_EXAMPLES_COMPRESS_CHANNEL_LOSS_HPP

#include "calibration.hpp"

#include <pare/io/tensor_info.hpp>
#include <pare/prune/input_sums.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace compressor {

/// Sums of a layer's inputs in memory of their own.
struct own_sums {
    std::uint64_t tokens;
    std::vector<double> squares;
    std::vector<float> largest, gram;

    pare::prune::input_sums view() const {
        const std::size_t n = gram.empty() ? 0 : squares.size();
        return {tokens, squares, largest, {gram.data(), n, n}};
    }
};

/// What a tensor keeps where channels leave a model.
struct channel_loss {
    std::vector<std::uint32_t> rows;      ///< of a tensor with one per channel; empty: all
    std::vector<std::uint32_t> inputs;    ///< channels that it reads; empty: all
    std::size_t taps = 1;                 ///< columns of an input, side by side
    const calibration* repair = nullptr;  ///< by which those that stay make up for the others

    /// Of a tensor with that shape.
    std::vector<std::size_t> shape_left(std::span<const std::size_t> shape) const;
    /// What is left of a tensor, in its type. @throws tools::failure
    pare::io::tensor_info apply(const pare::io::tensor_info& whole,
                                std::vector<float>& memory) const;
    /// What the inputs that stay sum up to. @pre sums of as many features as the tensor has columns
    own_sums apply(const pare::prune::input_sums& whole) const;
};

}  // namespace compressor

#endif  // PARE_EXAMPLES_COMPRESS_CHANNEL_LOSS_HPP
