// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_COMMON_RECIPE_HPP
#define PARE_EXAMPLES_COMMON_RECIPE_HPP

#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tools {

enum class pattern_kind : std::uint8_t {
    dense,
    n_m,
    hinm,
    v_n_m,
    flex_hinm,
    block,
    unaligned_block,
    unstructured
};
enum class selection_kind : std::uint8_t { bed, greedy, optimum };  ///< of unaligned_block
enum class codec_kind : std::uint8_t {
    stored,  ///< the model's own dtype
    f32,
    f16,
    bf16,
    i8,
    i4,
    i2,
    nf4,
    e4m3,
    e5m2
};
enum class rule_kind : std::uint8_t { absmax, mse, percentile };  ///< how codes get their scale
enum class saliency_kind : std::uint8_t { magnitude, wanda, optimal_brain };
enum class permutation_kind : std::uint8_t {
    in_place,
    gyro,
    gyro_outputs,  ///< of gyro's orders that of the outputs alone
    gyro_inputs    ///< or that of the inputs
};

enum class criterion_kind : std::uint8_t { l1, l2, bn_gamma, taylor, geometric_median, activation };
enum class scope_kind : std::uint8_t {
    layer,        ///< the same share of every layer
    global,       ///< one ranking
    group,        ///< one per extents of maps and kind of layer
    pagcp,        ///< of each layer in turn as much as the loss allows
    pre_cropping  ///< as SynFlow thins out the weights of layers
};

/// What the inputs of a layer become before they meet its weights: how a model runs, not what its
/// file holds.
enum class activation_kind : std::uint8_t {
    f32,
    i8  ///< whole numbers and a scale per token, where the layer has a product of these
};

/// Channels that leave a network as a whole, before anything is done to the weights of others.
struct channel_recipe {
    criterion_kind criterion = criterion_kind::l1;
    double share = 0.0;  ///< of multiply-adds to remove
    scope_kind scope = scope_kind::layer;
    std::size_t multiple = 1;  ///< what is left of a layer's channels is rounded up to
    bool repair = false;

    auto operator<=>(const channel_recipe&) const = default;
};

/// What a recipe string says: the library's axes as run-time values.
struct recipe {
    std::string text = "dense";  ///< as written
    pattern_kind pattern = pattern_kind::dense;
    int n = 1, m = 1;                    ///< of n_m, hinm, v_n_m and flex_hinm
    int tile_rows = 1;                   ///< of hinm, v_n_m and flex_hinm
    int block_rows = 1, block_cols = 1;  ///< of block and unaligned_block
    selection_kind selection = selection_kind::bed;
    float sparsity = 0.0f;  ///< of hinm's vectors; of the others' weights
    codec_kind codec = codec_kind::stored;
    std::size_t group = 0;    ///< weights that share a scale; 0: a row
    bool asymmetric = false;  ///< with a zero point
    rule_kind rule = rule_kind::absmax;
    float percentile = 0.999f;
    bool gptq = false;  ///< errors are made up for by the weights that follow
    saliency_kind saliency = saliency_kind::magnitude;
    permutation_kind permutation = permutation_kind::in_place;
    std::optional<double> search_seconds{};  ///< of a longer search, per layer
    std::optional<channel_recipe> channels{};
};

/// What it says of the weights of the channels that are left.
inline recipe without_channels(recipe r) {
    r.channels.reset();
    return r;
}

/// Nothing is done to the weights.
constexpr bool is_dense_as_stored(const recipe& r) {
    return r.pattern == pattern_kind::dense && r.codec == codec_kind::stored && !r.channels;
}

/// Whether weights are stored as codes with scales.
constexpr bool is_coded(codec_kind codec) { return codec >= codec_kind::i8; }

/// Whether it needs to see inputs of layers, and their second moments.
constexpr bool needs_calibration(const recipe& r) {
    return r.saliency != saliency_kind::magnitude || r.gptq;
}
constexpr bool needs_gram(const recipe& r) {
    return r.saliency == saliency_kind::optimal_brain || r.gptq;
}
/// Whether what it says of channels needs data.
constexpr bool needs_calibration(const channel_recipe& c) {
    return c.criterion == criterion_kind::taylor || c.criterion == criterion_kind::activation ||
           c.scope == scope_kind::pagcp || c.repair;
}

/// Reads parts joined by '+', each `name[:argument]*`, in any order: at most one pattern, one
/// codec, one scale rule, one rounding, one saliency, one permutation, and one choice of channels
/// with a repair. @throws usage_error, with
/// the list of what exists
recipe parse_recipe(std::string_view text);

/// The list of what exists, one line per part.
std::string list_recipe_parts();

}  // namespace tools

#endif  // PARE_EXAMPLES_COMMON_RECIPE_HPP
