// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "plan.hpp"

#include "common/error.hpp"

#include <algorithm>
#include <cstddef>

namespace compressor {

namespace {

// The last * takes ever more characters until the rest fits.
bool fits_whole(std::string_view pattern, std::string_view name) {
    std::size_t p = 0, n = 0, star = pattern.npos, taken = 0;
    while (n < name.size()) {
        if (p < pattern.size() && pattern[p] == '*') {
            star = p++;
            taken = n;
        } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == name[n])) {
            ++p;
            ++n;
        } else if (star != pattern.npos) {
            p = star + 1;
            n = ++taken;
        } else return false;
    }
    return pattern.find_first_not_of('*', p) == pattern.npos;
}

bool is_embedding_or_head(std::string_view name) {
    constexpr std::string_view parts[] = {"embed", "embd", "wte", "wpe", "tok", "lm_head"};
    return name == "output.weight" ||
           std::any_of(std::begin(parts), std::end(parts),
                       [&](std::string_view part) { return name.find(part) != name.npos; });
}

}  // namespace

bool fits(std::string_view pattern, std::string_view tensor) {
    constexpr std::string_view suffix = ".weight";
    if (fits_whole(pattern, tensor)) return true;
    return tensor.ends_with(suffix) &&
           fits_whole(pattern, tensor.substr(0, tensor.size() - suffix.size()));
}

bool is_matrix(const tensor& t) {
    return (t.shape().size() == 2 || t.shape().size() == 4) && t.size() > 0 && t.holds_floats();
}

bool is_layer(const tensor& t) {
    constexpr std::size_t fewest_rows = 2, fewest_cols = 16;
    const auto shape = t.shape();
    return is_matrix(t) && shape[0] >= fewest_rows && t.size() / shape[0] >= fewest_cols &&
           !(shape.size() == 4 && shape[1] == 1) && t.name().ends_with("weight") &&
           !is_embedding_or_head(t.name());
}

std::vector<candidates> plan(std::span<const tensor> tensors, const choices& chosen) {
    const candidates dense(1);
    std::vector<candidates> recipes;
    for (const tensor& t : tensors) recipes.push_back(is_layer(t) ? chosen.by_default : dense);
    const auto for_each_fitting = [&](const std::string& pattern, auto&& use) {
        bool any = false;
        for (std::size_t i = 0; i < tensors.size(); ++i)
            if (is_matrix(tensors[i]) && fits(pattern, tensors[i].name())) {
                any = true;
                use(recipes[i]);
            }
        if (!any) throw tools::usage_error("no matrix's name fits '" + pattern + "'");
    };
    for (const layer_choice& choice : chosen.layers)
        for_each_fitting(choice.pattern, [&](candidates& c) { c = choice.recipes; });
    for (const std::string& pattern : chosen.keep_dense)
        for_each_fitting(pattern, [&](candidates& c) { c = dense; });
    return recipes;
}

}  // namespace compressor
