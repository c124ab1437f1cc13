// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "linear.hpp"

#include "linear_as.hpp"

#include <string>

namespace llm {

void check_compiled(const tools::recipe& recipe) {
    if (recipe.pattern != tools::pattern_kind::n_m) return;
    std::string list;
    const bool found = any_compiled_n_m([&](auto pattern) {
        list += " nm:" + std::to_string(pattern.n) + ":" + std::to_string(pattern.m);
        return pattern.n == recipe.n && pattern.m == recipe.m;
    });
    if (!found)
        throw tools::usage_error("recipe '" + recipe.text + "': this program is compiled for" +
                                 list + "; others are one line in examples/llm/linear_as.hpp");
}

std::unique_ptr<linear> make_linear(pare::matrix_view<const float> weights,
                                    const tools::recipe& recipe, tools::codec_kind codec,
                                    const pare::prune::calibration& inputs) {
    check_compiled(recipe);
    switch (codec) {
        case tools::codec_kind::f16:
            return make_linear_as<pare::f16>(weights, recipe, inputs);
        case tools::codec_kind::bf16:
            return make_linear_as<pare::bf16>(weights, recipe, inputs);
        case tools::codec_kind::stored:
        case tools::codec_kind::f32:
            break;
    }
    return make_linear_as<float>(weights, recipe, inputs);
}

}  // namespace llm
