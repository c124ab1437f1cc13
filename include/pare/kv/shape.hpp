// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KV_SHAPE_HPP
#define PARE_KV_SHAPE_HPP

#include "../core/config.hpp"

#include <cstddef>

namespace pare::kv {

/// Types that a token can pass through at most.
inline constexpr std::size_t max_tiers = 4;

/// What a cache holds. Query heads h * group_size() to (h + 1) * group_size() - 1 read KV head h.
struct shape {
    std::size_t layers = 0;
    std::size_t query_heads = 0;
    std::size_t kv_heads = 0;
    std::size_t head_dim = 0;
    std::size_t sequences = 1;  ///< kept apart; a snapshot is one more
    std::size_t tiers = 1;  ///< types that a token is stored as, one after the other: f16, i8, ...

    PARE_ALWAYS_INLINE constexpr std::size_t group_size() const noexcept {
        return query_heads / kv_heads;
    }

    friend constexpr bool operator==(const shape&, const shape&) = default;
};

}  // namespace pare::kv

#endif  // PARE_KV_SHAPE_HPP
