// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "tensors.hpp"

#include "error.hpp"

#include <algorithm>
#include <string>

namespace tools {

namespace {

codec_kind stored_codec(const pare::io::tensor_info& tensor) {
    switch (tensor.type) {
        case pare::io::dtype::f16:
            return codec_kind::f16;
        case pare::io::dtype::bf16:
            return codec_kind::bf16;
        default:
            return codec_kind::f32;
    }
}

std::string in_words(std::span<const std::size_t> shape) {
    std::string words;
    for (const std::size_t extent : shape)
        words.append(words.empty() ? "(" : ", ").append(std::to_string(extent));
    return words.empty() ? "a scalar" : words + ")";
}

}  // namespace

void check_tensor(const pare::io::tensor_info& tensor, std::span<const std::size_t> shape) {
    using pare::io::dtype;
    const std::string about = "tensor '" + std::string(tensor.name) + "' is ";
    if (!std::equal(shape.begin(), shape.end(), tensor.shape().begin(), tensor.shape().end()))
        throw failure(about + in_words(tensor.shape()) + ", not " + in_words(shape) +
                      " as the rest of the model has it");
    if (tensor.size() == 0) throw failure(about + in_words(shape) + ", without elements");
    if (tensor.type != dtype::f32 && tensor.type != dtype::f16 && tensor.type != dtype::bf16)
        throw failure(about + std::string(describe(tensor.type).name) +
                      "; only F32, F16 and BF16 models are understood");
}

std::vector<float> read_floats(const pare::io::tensor_info& tensor) {
    std::vector<float> values(tensor.size());
    value_of(pare::io::read_as_float(tensor, values), std::string(tensor.name));
    return values;
}

std::unique_ptr<linear> load_linear(const pare::io::tensor_info& tensor, const recipe& r,
                                    const pare::prune::calibration& inputs,
                                    pare::thread_pool& run) {
    const std::vector<float> weights = read_floats(tensor);
    const std::size_t rows = tensor.extents[0];
    return make_linear({weights.data(), rows, weights.size() / rows}, r,
                       r.codec == codec_kind::stored ? stored_codec(tensor) : r.codec, inputs, run);
}

}  // namespace tools
