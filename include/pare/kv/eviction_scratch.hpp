// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KV_EVICTION_SCRATCH_HPP
#define PARE_KV_EVICTION_SCRATCH_HPP

#include "../core/buffer.hpp"
#include "../core/status.hpp"
#include "block_layout.hpp"
#include "shape.hpp"

#include <cstddef>
#include <cstdint>
#include <utility>

namespace pare::kv::inline PARE_ARCH_NAMESPACE {

namespace detail {

// A kept token after one that leaves.
struct follower {
    std::uint32_t position, place;
    float attention;
};
struct earlier_follower {
    bool operator()(const follower& a, const follower& b) const noexcept {
        return a.position < b.position;
    }
};

}  // namespace detail

/// Memory for evict() or a tracker, made once.
class eviction_scratch {
  public:
    /// @param tokens  of one head at most, before an eviction
    static result<eviction_scratch> make(const shape& s, std::size_t tokens) noexcept {
        const std::size_t n = s.kv_heads * tokens;
        auto attention = buffer<float>::make(n), scores = buffer<float>::make(n);
        auto positions = buffer<std::uint32_t>::make(n), places = buffer<std::uint32_t>::make(n);
        auto ranks = buffer<std::uint32_t>::make(n);
        auto blocks = buffer<const std::byte*>::make(tokens / block_tokens + 1);
        auto decoded = buffer<float>::make(2 * block_tokens * s.head_dim);
        auto channels = buffer<std::uint16_t>::make(s.head_dim);
        auto followers = buffer<detail::follower>::make(tokens);
        eviction_scratch made;
        if (!channels || !followers || !attention || !scores || !positions || !places || !ranks ||
            !blocks || !decoded)
            return error{errc::out_of_memory, "memory for evictions"};
        made.attention = std::move(*attention);
        made.scores = std::move(*scores);
        made.positions = std::move(*positions);
        made.places = std::move(*places);
        made.ranks = std::move(*ranks);
        made.blocks = std::move(*blocks);
        made.decoded = std::move(*decoded);
        made.followers = std::move(*followers);
        made.channels = std::move(*channels);
        return made;
    }

    std::size_t bytes() const noexcept {
        return attention.bytes() + scores.bytes() + decoded.bytes() + positions.bytes() +
               places.bytes() + ranks.bytes() + blocks.bytes() + followers.bytes() +
               channels.bytes();
    }

    buffer<float> attention, scores, decoded;
    buffer<std::uint32_t> positions, places, ranks;
    buffer<const std::byte*> blocks;
    buffer<detail::follower> followers;
    buffer<std::uint16_t> channels;
};

}  // namespace pare::kv::inline PARE_ARCH_NAMESPACE

#endif  // PARE_KV_EVICTION_SCRATCH_HPP
