// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "recipe.hpp"

#include "grammar.hpp"

namespace tools {

namespace {

bool read_group(arguments args, recipe& r) {
    return args.size() >= 2 && read_number(args[0], r.n) && read_number(args[1], r.m) && 1 <= r.n &&
           r.n < r.m && r.m <= 32;
}

bool read_n_m(arguments args, recipe& r) {
    r.pattern = pattern_kind::n_m;
    return args.size() == 2 && read_group(args, r);
}

bool read_tile_rows(std::string_view text, recipe& r) {
    return text.starts_with('v') && read_number(text.substr(1), r.tile_rows) && r.tile_rows >= 1;
}

template <pattern_kind Kind>
bool read_tiles(arguments args, recipe& r) {
    r.pattern = Kind;
    return args.size() == 4 && read_group(args, r) && read_tile_rows(args[2], r) &&
           read_number(args[3], r.sparsity) && r.sparsity >= 0.0f && r.sparsity < 1.0f;
}

bool read_v_n_m(arguments args, recipe& r) {
    r.pattern = pattern_kind::v_n_m;
    return args.size() == 3 && read_tile_rows(args[0], r) && read_group(args.subspan(1), r);
}

bool read_sparsity(std::string_view text, recipe& r) {
    return read_number(text, r.sparsity) && r.sparsity > 0.0f && r.sparsity < 1.0f;
}

bool read_unstructured(arguments args, recipe& r) {
    r.pattern = pattern_kind::unstructured;
    return args.size() == 1 && read_sparsity(args[0], r);
}

bool read_block(arguments args, recipe& r) {
    r.pattern = pattern_kind::block;
    if (args.size() != 2 || !read_sparsity(args[1], r)) return false;
    const std::vector<std::string_view> extents = split(args[0], 'x');
    return extents.size() <= 2 && read_number(extents[0], r.block_rows) && r.block_rows >= 1 &&
           (extents.size() == 1 || (read_number(extents[1], r.block_cols) && r.block_cols >= 1));
}

template <selection_kind Kind>
bool read_unaligned_block(arguments args, recipe& r) {
    r.pattern = pattern_kind::unaligned_block;
    r.selection = Kind;
    return args.size() == 2 && read_number(args[0], r.block_rows) && r.block_rows >= 1 &&
           read_sparsity(args[1], r);
}

// [:gG][:a]
template <codec_kind Kind>
bool read_codes(arguments args, recipe& r) {
    r.codec = Kind;
    for (const std::string_view word : args)
        if (word == "a" && !r.asymmetric && Kind <= codec_kind::i2) r.asymmetric = true;
        else if (!word.starts_with('g') || r.group != 0 || !read_number(word.substr(1), r.group) ||
                 r.group == 0)
            return false;
    return true;
}

bool read_percentile(arguments args, recipe& r) {
    r.rule = rule_kind::percentile;
    return args.size() == 1 && read_number(args[0], r.percentile) && r.percentile > 0.0f &&
           r.percentile <= 1.0f;
}

template <permutation_kind Kind>
bool read_gyro(arguments args, recipe& r) {
    constexpr double longest = 86400.0;
    r.permutation = Kind;
    if (args.empty()) return true;
    return args.size() == 1 && Kind != permutation_kind::gyro_outputs &&
           read_number(args[0], r.search_seconds.emplace()) && *r.search_seconds > 0.0 &&
           *r.search_seconds <= longest;
}

struct criterion_name {
    std::string_view name;
    criterion_kind kind;
};
constexpr criterion_name criteria[] = {{"l1", criterion_kind::l1},
                                       {"l2", criterion_kind::l2},
                                       {"bn_gamma", criterion_kind::bn_gamma},
                                       {"taylor", criterion_kind::taylor},
                                       {"geometric_median", criterion_kind::geometric_median},
                                       {"activation", criterion_kind::activation}};
struct scope_name {
    std::string_view name;
    scope_kind kind;
};
constexpr scope_name scopes[] = {{"layer", scope_kind::layer},
                                 {"global", scope_kind::global},
                                 {"group", scope_kind::group},
                                 {"pagcp", scope_kind::pagcp},
                                 {"pre_cropping", scope_kind::pre_cropping}};

template <class T, std::size_t N, class Kind>
bool find_name(const T (&names)[N], std::string_view name, Kind& found) {
    for (const T& n : names)
        if (n.name == name) {
            found = n.kind;
            return true;
        }
    return false;
}

// C:S[:SCOPE][:mM]
bool read_channels(arguments args, recipe& r) {
    channel_recipe& c = r.channels.emplace();
    if (args.size() < 2 || !find_name(criteria, args[0], c.criterion) ||
        !read_number(args[1], c.share) || !(c.share > 0.0 && c.share < 1.0))
        return false;
    args = args.subspan(2);
    if (!args.empty() && find_name(scopes, args.front(), c.scope)) args = args.subspan(1);
    if (!args.empty() && args.front().starts_with('m') &&
        read_number(args.front().substr(1), c.multiple) && c.multiple > 0)
        args = args.subspan(1);
    return args.empty();
}

bool read_repair(arguments args, recipe& r) {
    if (r.channels) r.channels->repair = true;
    return args.empty();
}

constexpr part<recipe> parts[] = {
    {"channels", "channel", "channel:C:S[:SCOPE][:mM]",
     "whole channels, until share S of the multiply-adds is gone. C: l1, l2, bn_gamma, taylor, "
     "geometric_median, activation; SCOPE: layer, global, group, pagcp (calibrated), pre_cropping; "
     "M: what counts are rounded up to",
     read_channels},
    {"repair", "repair", "repair", "other channels make up for those (calibrated)", read_repair},
    {"pattern", "dense", "dense", "every weight (what there is without a pattern)",
     set<&recipe::pattern, pattern_kind::dense>},
    {"pattern", "nm", "nm:N:M", "N of every M consecutive weights of a row, N < M <= 32", read_n_m},
    {"pattern", "hinm", "hinm:N:M:vV:S",
     "N:M within the best columns of every V rows, fraction S of columns dropped",
     read_tiles<pattern_kind::hinm>},
    {"pattern", "vnm", "vnm:vV:N:M", "VENOM: N of the best four of every M columns of V rows",
     read_v_n_m},
    {"pattern", "flex", "flex:N:M:vV:S",
     "FlexHiNM: some columns of V rows whole, others N:M, fraction S of weights dropped",
     read_tiles<pattern_kind::flex_hinm>},
    {"pattern", "block", "block:R[xC]:S",
     "whole blocks of R rows and C columns (1) at multiples of both, fraction S dropped",
     read_block},
    {"pattern", "ubp", "ubp:B:S",
     "unaligned blocks of B rows, which begin anywhere, fraction S of weights dropped",
     read_unaligned_block<selection_kind::bed>},
    {"pattern", "ubp_greedy", "ubp_greedy:B:S", "the same, chosen greedily: may drop more",
     read_unaligned_block<selection_kind::greedy>},
    {"pattern", "ubp_optimum", "ubp_optimum:B:S", "the same, the best there are",
     read_unaligned_block<selection_kind::optimum>},
    {"pattern", "unstructured", "unstructured:S",
     "fraction S pruned anywhere, stored dense: the bound for every pattern", read_unstructured},
    {"codec", "f32", "f32", "weights as 32-bit floats (default: as the model stores them)",
     set<&recipe::codec, codec_kind::f32>},
    {"codec", "f16", "f16", "weights as IEEE half precision", set<&recipe::codec, codec_kind::f16>},
    {"codec", "bf16", "bf16", "weights as bfloat16", set<&recipe::codec, codec_kind::bf16>},
    {"codec", "i8", "i8[:gG]", "8 bits, a scale per row or per G (32, 64, 128) kept weights of it",
     read_codes<codec_kind::i8>},
    {"codec", "i4", "i4[:gG][:a]", "4 bits, likewise; a: with zero points",
     read_codes<codec_kind::i4>},
    {"codec", "i2", "i2[:gG][:a]", "2 bits, likewise", read_codes<codec_kind::i2>},
    {"codec", "nf4", "nf4[:gG]", "4 bits, quantiles of a normal distribution",
     read_codes<codec_kind::nf4>},
    {"codec", "e4m3", "e4m3", "floats of 8 bits up to 448, a scale per row",
     read_codes<codec_kind::e4m3>},
    {"codec", "e5m2", "e5m2", "the same up to 57344", read_codes<codec_kind::e5m2>},
    {"scale", "mse", "mse", "scales with the least squared error, not the largest weight's",
     set<&recipe::rule, rule_kind::mse>},
    {"scale", "percentile", "percentile:P", "scales that cover the share P of the weights",
     read_percentile},
    {"rounding", "gptq", "gptq",
     "weights make up for what pruning and rounding take from those before (calibrated)",
     set<&recipe::gptq, true>},
    {"saliency", "magnitude", "magnitude", "keeps large |w| (default)",
     set<&recipe::saliency, saliency_kind::magnitude>},
    {"saliency", "wanda", "wanda", "keeps large |w| x norm of its input (calibrated)",
     set<&recipe::saliency, saliency_kind::wanda>},
    {"saliency", "optimal_brain", "optimal_brain",
     "keeps large w^2 / 2 [H^-1] of its input (calibrated)",
     set<&recipe::saliency, saliency_kind::optimal_brain>},
    {"order", "gyro", "gyro[:SECONDS]", "of hinm: orders that keep more; a longer search per layer",
     read_gyro<permutation_kind::gyro>},
    {"order", "gyro_outputs", "gyro_outputs", "which rows share a tile alone",
     read_gyro<permutation_kind::gyro_outputs>},
    {"order", "gyro_inputs", "gyro_inputs[:SECONDS]", "how tiles group columns alone",
     read_gyro<permutation_kind::gyro_inputs>},
};
constexpr grammar<recipe> words{"recipe", parts, "nm:2:4+f16+wanda"};

}  // namespace

std::string list_recipe_parts() { return list_parts(words); }

recipe parse_recipe(std::string_view text) {
    recipe r;
    r.text = text;
    const std::vector<bool> there = parse_parts(words, text, r);
    for (std::size_t i = 0; i < there.size(); ++i) {
        if (there[i] && parts[i].role == "repair" && !r.channels)
            refuse(words, text, parts[i].name, "needs channel, what it repairs");
        if (there[i] && parts[i].role == "saliency" && r.pattern == pattern_kind::dense)
            refuse(words, text, parts[i].name, "needs a pattern that prunes");
        if (there[i] && parts[i].role == "order" && r.pattern != pattern_kind::hinm)
            refuse(words, text, parts[i].name, "needs hinm, the pattern that has an order");
        if (there[i] && parts[i].role == "scale" && !is_coded(r.codec))
            refuse(words, text, parts[i].name, "needs a codec with scales: i8, i4, nf4, ...");
        if (there[i] && parts[i].role == "rounding" && !is_coded(r.codec) &&
            r.pattern == pattern_kind::dense)
            refuse(words, text, parts[i].name, "needs a pattern that prunes, or codes");
    }
    return r;
}

}  // namespace tools
