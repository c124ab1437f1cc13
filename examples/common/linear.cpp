// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "linear.hpp"

#include "linear_as.hpp"

#include <pare/io/layer_description.hpp>

#include <string>
#include <utility>

namespace tools {

namespace {

// Whether one of the patterns listed is that of the recipe; if not, `list` names them.
bool is_compiled(const recipe& r, std::string& list) {
    const auto look = [&](auto pattern) {
        list.append(" ").append(text_of(pattern));
        return is_of(pattern, r);
    };
    switch (r.pattern) {
        case pattern_kind::n_m:
            return any_compiled_n_m(look);
        case pattern_kind::hinm:
            return any_compiled_hinm(look);
        case pattern_kind::v_n_m:
            return any_compiled_v_n_m(look);
        case pattern_kind::flex_hinm:
            return any_compiled_flex_hinm(look);
        case pattern_kind::block:
        case pattern_kind::unaligned_block:
            return any_compiled_blocks(look);
        case pattern_kind::dense:
        case pattern_kind::unstructured:
            break;
    }
    return true;
}

}  // namespace

void check_compiled(const recipe& r) {
    std::string list;
    if (!is_compiled(r, list))
        throw usage_error("recipe '" + r.text + "': this program is compiled for" + list +
                          "; others are one line in examples/common/linear_as.hpp");
}

std::unique_ptr<linear> make_linear(pare::matrix_view<const float> weights, const recipe& r,
                                    codec_kind codec, const pare::prune::calibration& inputs,
                                    pare::thread_pool& run) {
    check_compiled(r);
    switch (codec) {
        case codec_kind::f16:
            return make_linear_as<pare::f16>(weights, r, inputs, run);
        case codec_kind::bf16:
            return make_linear_as<pare::bf16>(weights, r, inputs, run);
        case codec_kind::stored:
        case codec_kind::f32:
            break;
    }
    return make_linear_as<float>(weights, r, inputs, run);
}

std::unique_ptr<linear> open_linear(std::shared_ptr<const pare::io::safetensors_reader> file,
                                    const std::string& name, pare::layer_report report) {
    const auto is = value_of(describe_layer(*file, name), name);
    std::unique_ptr<linear> found;
    if (is.dtype == "f32") found = open_linear_as<float>(file, name, report);
    else if (is.dtype == "f16") found = open_linear_as<pare::f16>(file, name, report);
    else if (is.dtype == "bf16") found = open_linear_as<pare::bf16>(file, name, report);
    if (found == nullptr)
        throw failure("layer '" + name + "': this program is not compiled for its format, " +
                      std::string(is.format) + " of " + std::string(is.dtype));
    return found;
}

}  // namespace tools
