// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "linear.hpp"

#include "linear_as.hpp"

#include <string>

namespace tools {

void check_compiled(const recipe& r) {
    if (r.pattern != pattern_kind::n_m) return;
    std::string list;
    const bool found = any_compiled_n_m([&](auto pattern) {
        list += " nm:" + std::to_string(pattern.n) + ":" + std::to_string(pattern.m);
        return pattern.n == r.n && pattern.m == r.m;
    });
    if (!found)
        throw usage_error("recipe '" + r.text + "': this program is compiled for" + list +
                          "; others are one line in examples/common/linear_as.hpp");
}

std::unique_ptr<linear> make_linear(pare::matrix_view<const float> weights, const recipe& r,
                                    codec_kind codec, const pare::prune::calibration& inputs) {
    check_compiled(r);
    switch (codec) {
        case codec_kind::f16:
            return make_linear_as<pare::f16>(weights, r, inputs);
        case codec_kind::bf16:
            return make_linear_as<pare::bf16>(weights, r, inputs);
        case codec_kind::stored:
        case codec_kind::f32:
            break;
    }
    return make_linear_as<float>(weights, r, inputs);
}

}  // namespace tools
