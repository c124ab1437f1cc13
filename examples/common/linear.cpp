// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "linear.hpp"

#include "linear_as.hpp"

#include <pare/io/layer_description.hpp>

#include <string>
#include <vector>

namespace tools {

namespace {

// Whether one of the patterns listed is that of the recipe; if not, `list` names them.
template <bool Coded>
bool is_compiled(const recipe& r, std::string& list) {
    const auto look = [&](auto pattern) {
        list.append(" ").append(text_of(pattern));
        return is_of(pattern, r);
    };
    switch (r.pattern) {
        case pattern_kind::n_m:
            return any_compiled_n_m<Coded>(look);
        case pattern_kind::hinm:
            return any_compiled_hinm<Coded>(look);
        case pattern_kind::v_n_m:
            return any_compiled_v_n_m<Coded>(look);
        case pattern_kind::flex_hinm:
            return any_compiled_flex_hinm<Coded>(look);
        case pattern_kind::block:
        case pattern_kind::unaligned_block:
            return any_compiled_blocks(look);
        case pattern_kind::dense:
        case pattern_kind::unstructured:
            break;
    }
    return true;
}

const std::vector<stored_type>& stored_types() {
    static const std::vector<stored_type> all = [] {
        std::vector<stored_type> types;
        for (const auto& some :
             {stored_as_f32(), stored_as_f16(), stored_as_bf16(), stored_as_i8(), stored_as_i4(),
              stored_as_i4_with_zeros(), stored_as_other_codes()})
            types.insert(types.end(), some.begin(), some.end());
        return types;
    }();
    return all;
}

const stored_type* find_stored_type(const recipe& r, codec_kind codec) {
    for (const stored_type& type : stored_types())
        if (type.codec == codec && type.group == r.group && type.asymmetric == r.asymmetric)
            return &type;
    return nullptr;
}

[[noreturn]] void refuse_as_not_compiled(const recipe& r, const std::string& list) {
    throw usage_error("recipe '" + r.text + "': this program is compiled for" + list +
                      "; others are one line in examples/common/linear_*");
}

}  // namespace

void check_compiled(const recipe& r) {
    if (r.channels)
        throw usage_error(
            "recipe '" + r.text +
            "': channels leave whole models: by pare_vision, whose --save writes what "
            "is left, or by `channels` of a recipe file of pare_compress");
    std::string list;
    if (is_coded(r.codec) ? !is_compiled<true>(r, list) : !is_compiled<false>(r, list))
        refuse_as_not_compiled(r, list.empty() ? " no such pattern stored as codes" : list);
    if (r.codec == codec_kind::stored || find_stored_type(r, r.codec) != nullptr) return;
    list.clear();
    for (const stored_type& type : stored_types()) list.append(" ").append(type.name);
    refuse_as_not_compiled(r, list);
}

std::unique_ptr<linear> make_linear(pare::matrix_view<const float> weights, const recipe& r,
                                    codec_kind codec, const pare::prune::calibration& inputs,
                                    pare::thread_pool& run) {
    check_compiled(r);
    return find_stored_type(r, codec)->make(weights, r, inputs, run);
}

std::unique_ptr<linear> open_linear(std::shared_ptr<const pare::io::safetensors_reader> file,
                                    const std::string& name, pare::layer_report report) {
    const auto is = value_of(describe_layer(*file, name), name);
    for (const stored_type& type : stored_types())
        if (type.name == is.dtype)
            if (auto found = type.open(file, name, report)) return found;
    throw failure("layer '" + name + "': this program is not compiled for its format, " +
                  std::string(is.format) + " of " + std::string(is.dtype));
}

}  // namespace tools
