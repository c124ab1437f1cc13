// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "recipe.hpp"

#include "error.hpp"

#include <charconv>
#include <span>
#include <system_error>
#include <vector>

namespace tools {

namespace {

using arguments = std::span<const std::string_view>;

enum class role : std::uint8_t { pattern, codec, saliency };
constexpr std::string_view role_names[] = {"pattern", "codec", "saliency"};

/// One row per word of the grammar. `read` stores the part and says whether its arguments fit.
struct part {
    role is;
    std::string_view name;
    std::string_view signature;
    std::string_view meaning;
    bool (*read)(arguments, recipe&);
};

template <class T>
bool read_number(std::string_view text, T& number) {
    const char* const end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, number);
    return error == std::errc{} && stop == end;
}

bool read_n_m(arguments args, recipe& r) {
    r.pattern = pattern_kind::n_m;
    return args.size() == 2 && read_number(args[0], r.n) && read_number(args[1], r.m) && 1 <= r.n &&
           r.n < r.m && r.m <= 32;
}

bool read_unstructured(arguments args, recipe& r) {
    r.pattern = pattern_kind::unstructured;
    return args.size() == 1 && read_number(args[0], r.sparsity) && r.sparsity > 0.0f &&
           r.sparsity < 1.0f;
}

template <auto Member, auto Value>
bool set(arguments args, recipe& r) {
    r.*Member = Value;
    return args.empty();
}

constexpr part parts[] = {
    {role::pattern, "dense", "dense", "every weight (what there is without a pattern)",
     set<&recipe::pattern, pattern_kind::dense>},
    {role::pattern, "nm", "nm:N:M", "N of every M consecutive weights of a row, N < M <= 32",
     read_n_m},
    {role::pattern, "unstructured", "unstructured:S",
     "fraction S pruned anywhere, stored dense: the bound for every pattern", read_unstructured},
    {role::codec, "f32", "f32", "weights as 32-bit floats (default: as the model stores them)",
     set<&recipe::codec, codec_kind::f32>},
    {role::codec, "f16", "f16", "weights as IEEE half precision",
     set<&recipe::codec, codec_kind::f16>},
    {role::codec, "bf16", "bf16", "weights as bfloat16", set<&recipe::codec, codec_kind::bf16>},
    {role::saliency, "magnitude", "magnitude", "keeps large |w| (default)",
     set<&recipe::saliency, saliency_kind::magnitude>},
    {role::saliency, "wanda", "wanda", "keeps large |w| x norm of its input (calibrated)",
     set<&recipe::saliency, saliency_kind::wanda>},
    {role::saliency, "optimal_brain", "optimal_brain",
     "keeps large w^2 / 2 [H^-1] of its input (calibrated)",
     set<&recipe::saliency, saliency_kind::optimal_brain>},
};

std::vector<std::string_view> split(std::string_view text, char separator) {
    std::vector<std::string_view> fields;
    for (;;) {
        const std::size_t end = text.find(separator);
        fields.push_back(text.substr(0, end));
        if (end == std::string_view::npos) return fields;
        text.remove_prefix(end + 1);
    }
}

// `reason` follows the part in quotes.
[[noreturn]] void refuse(std::string_view recipe, std::string_view part, std::string_view reason) {
    std::string sentence = "recipe '";
    for (const std::string_view piece :
         {recipe, std::string_view("': '"), part, std::string_view("' "), reason})
        sentence += piece;
    throw usage_error(sentence + ". What exists:\n" + list_recipe_parts());
}

}  // namespace

std::string list_recipe_parts() {
    std::string list;
    for (const part& p : parts) {
        std::string line = "  " + std::string(role_names[static_cast<std::size_t>(p.is)]);
        line.resize(12, ' ');
        line += p.signature;
        line.resize(28, ' ');
        list += line + ' ' + std::string(p.meaning) + '\n';
    }
    return list + "  joined by '+', at most one of each kind: nm:2:4+f16+wanda";
}

recipe parse_recipe(std::string_view text) {
    recipe r;
    r.text = text;
    const part* chosen[std::size(role_names)] = {};
    for (const std::string_view field : split(text, '+')) {
        const std::vector<std::string_view> words = split(field, ':');
        const part* found = nullptr;
        for (const part& p : parts)
            if (p.name == words[0]) found = &p;
        if (found == nullptr) refuse(text, words[0], "is unknown");
        const part*& taken = chosen[static_cast<std::size_t>(found->is)];
        if (taken != nullptr)
            refuse(text, found->name, std::string("contradicts ").append(taken->name));
        taken = found;
        if (!found->read(arguments(words).subspan(1), r))
            refuse(text, field, std::string("is not ").append(found->signature));
    }
    const part* const saliency = chosen[static_cast<std::size_t>(role::saliency)];
    if (saliency != nullptr && r.pattern == pattern_kind::dense)
        refuse(text, saliency->name, "needs a pattern that prunes");
    return r;
}

}  // namespace tools
