// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_COMMON_KV_RECIPE_HPP
#define PARE_EXAMPLES_COMMON_KV_RECIPE_HPP

#include <pare/kv/concepts.hpp>
#include <pare/kv/policy.hpp>
#include <pare/kv/shape.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tools {

enum class kv_scorer : std::uint8_t {
    full,  ///< nothing is evicted
    a2sf,
    h2o,
    window,
    tova,
    snapkv,
    key_norm,
    random
};
enum class kv_budget : std::uint8_t { uniform, ada, zipvl };

/// What attention reads of what is kept.
enum class kv_reading : std::uint8_t { all, lserve, token_select };

/// What layers [first, end) store a token as when it comes.
struct kv_types {
    std::size_t first, end;
    pare::kv::element keys, values;
};

/// What the string of a key/value cache says: the library's axes as run-time values.
struct kv_recipe {
    std::string text = "full";  ///< as written
    kv_scorer scorer = kv_scorer::full;
    float forgetting = 1.0f;   ///< of a2sf
    bool by_value = false;     ///< of a2sf
    bool mean = false;         ///< of h2o
    std::size_t observed = 0;  ///< of snapkv
    std::size_t pooling = 5;   ///< of snapkv
    bool pyramid = false;      ///< layers have budgets of their own
    kv_budget budget = kv_budget::uniform;
    float safeguard = 0.2f;  ///< of ada
    float mass = 1.0f;       ///< of zipvl
    std::size_t sinks = 0, recent = 0, every = 1, granularity = 1;
    float recent_share = 0.0f;
    std::vector<pare::kv::position_range> keep{};
    std::size_t renumber = 0;  ///< tokens after which positions lose their gaps; 0: never
    pare::kv::element keys = pare::kv::element::f32, values = pare::kv::element::f32;
    std::vector<kv_types> layers{};  ///< those with types of their own
    bool keys_per_channel = false, hadamard = false;
    pare::kv::reduction across = pare::kv::reduction::mean;
    float key_share = 1.0f;                  ///< of the channels, that demoted keys keep
    std::vector<pare::kv::element> lower{};  ///< types of the tiers below the first
    std::array<float, pare::kv::max_tiers - 1> tier_shares{};
    bool demote_oldest = false;
    kv_reading reading = kv_reading::all;
    std::size_t read_tokens = 0;     ///< of lserve and token_select
    std::size_t merging_window = 0;  ///< of cam; 0: nothing is merged
};

/// Reads parts joined by '+', each `name[:argument]*`, in any order: a policy, and at most one part
/// of every other kind. @throws usage_error, with the list of what exists
kv_recipe parse_kv_recipe(std::string_view text);

/// The list of what exists, one line per part.
std::string list_kv_parts();

}  // namespace tools

#endif  // PARE_EXAMPLES_COMMON_KV_RECIPE_HPP
