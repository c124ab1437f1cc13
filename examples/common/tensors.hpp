// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_COMMON_TENSORS_HPP
#define PARE_EXAMPLES_COMMON_TENSORS_HPP

#include "linear.hpp"

#include <pare/io/tensor_info.hpp>

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

namespace tools {

/// That a model's tensor has this shape, and elements, of F32, F16 or BF16. @throws failure
void check_tensor(const pare::io::tensor_info& tensor, std::span<const std::size_t> shape);

/// Elements as floats. @throws failure
std::vector<float> read_floats(const pare::io::tensor_info& tensor);

/// A linear layer of a tensor (out_features, ...), whose other extents together are in_features; in
/// the tensor's own dtype where the recipe names none. @throws failure
std::unique_ptr<linear> load_linear(const pare::io::tensor_info& tensor, const recipe& r,
                                    const pare::prune::calibration& inputs, pare::thread_pool& run);

}  // namespace tools

#endif  // PARE_EXAMPLES_COMMON_TENSORS_HPP
