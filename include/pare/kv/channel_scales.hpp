// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KV_CHANNEL_SCALES_HPP
#define PARE_KV_CHANNEL_SCALES_HPP

#include "token_of_block.hpp"

#include <array>
#include <cstddef>
#include <span>

namespace pare::kv::inline PARE_ARCH_NAMESPACE {

namespace detail {

// A channel whose scale is 0 holds nothing yet.
inline bool holds_numbers(affine a) noexcept { return to_float(a.scale) > 0.0f; }

// A range that holds what `old` does and numbers from least to most. It is `old` where that will
// do; else, for more may come, a quarter of it lies beyond the end that moved. So a channel is
// encoded again a few times only: its range grows by 5/4 at least each time, and the roundings that
// an early token collects, half a step each, sum up to 5/2 of the last step at most, which in turn
// is at most 5/3 of what the numbers need. (Near +-65504 the margin ends.)
inline affine widened(affine old, float least, float most, unsigned levels) noexcept {
    constexpr float margin = 0.25f;
    if (!(least <= most)) return old;  // all of them NaN
    if (holds_numbers(old)) {
        const float low = to_float(old.minimum), high = decode(levels, old);
        const bool below = least<low, above = most> high;
        if (!below && !above) return old;
        if (!below) least = low;
        if (!above) most = high;
        const float beyond = margin * (most - least);
        if (below) least -= beyond;
        if (above) most += beyond;
    }
    const std::array<float, 2> ends{least, most};
    affine a = fit(ends, static_cast<float>(levels));
    if (!holds_numbers(a)) a.scale = {1};
    return a;
}

// Encodes channel c of all tokens of a block again, where it held numbers.
template <element E>
void widen_channel(token_of_block key, std::byte* tiles, std::size_t tile_bytes, std::size_t c,
                   float least, float most) noexcept {
    const affine old = key.scale(c), now = widened(old, least, most, levels_of(E));
    if (now.scale == old.scale && now.minimum == old.minimum) return;
    key.set_scale(c, now);
    if (!holds_numbers(old)) return;
    for (key.token = 0; key.token < block_tokens; ++key.token) {
        key.row = tiles + key.token / group * tile_bytes;
        const place at = key.at<E>(c);
        put<E>(at, get<E>(at, old), now);
    }
}

}  // namespace detail

/// Stores the keys of tokens `first`, `first` + 1, ... with a scale per channel. key(i): that of
/// token first + i, valid until the next call. All 32 are fitted anew and rounded once; fewer widen
/// the ranges of what the block holds.
inline void write_keys_per_channel(const block_layout& layout, std::byte* block, std::size_t first,
                                   std::size_t n, auto&& key) noexcept {
    std::array<float, block_layout::most_channels> least, most;
    const std::size_t dim = layout.key_dim();
    for (std::size_t c = 0; c < dim; ++c) least[c] = 65504.0f, most[c] = -65504.0f;
    for (std::size_t i = 0; i < n; ++i) {
        const std::span<const float> x = key(i);
        for (std::size_t c = 0; c < dim; ++c) {
            if (x[c] < least[c]) least[c] = x[c];
            if (x[c] > most[c]) most[c] = x[c];
        }
    }
    with_element(layout.keys, [&]<element E>() {
        if constexpr (has_scales(E)) {
            const auto any = detail::key_of(layout, block, 0);
            for (std::size_t c = 0; c < dim; ++c) {
                if (n == block_tokens) any.set_scale(c, {});
                detail::widen_channel<E>(any, block, layout.tile_bytes(), c, least[c], most[c]);
            }
            for (std::size_t i = 0; i < n; ++i) {
                const std::span<const float> x = key(i);
                const auto mine = detail::key_of(layout, block, first + i);
                for (std::size_t c = 0; c < dim; ++c)
                    detail::put<E>(mine.template at<E>(c), x[c], mine.scale(c));
            }
        }
    });
}

/// Copies a key, as stored where both blocks' channels have the same scale or `to` has none yet,
/// else encoded again.
inline void copy_key_per_channel(const block_layout& layout, const std::byte* from,
                                 std::size_t from_token, std::byte* to,
                                 std::size_t to_token) noexcept {
    const auto get = detail::key_of(layout, const_cast<std::byte*>(from), from_token);
    const auto put = detail::key_of(layout, to, to_token);
    with_element(layout.keys, [&]<element E>() {
        if constexpr (has_scales(E))
            for (std::size_t c = 0; c < layout.key_dim(); ++c) {
                const detail::affine a = get.scale(c);
                if (!detail::holds_numbers(put.scale(c))) put.set_scale(c, a);
                const detail::affine b = put.scale(c);
                if (a.scale == b.scale && a.minimum == b.minimum) {
                    detail::copy<E>(get.template at<E>(c), put.template at<E>(c));
                    continue;
                }
                const float x = detail::get<E>(get.template at<E>(c), a);
                detail::widen_channel<E>(put, to, layout.tile_bytes(), c, x, x);
                detail::put<E>(put.template at<E>(c), x, put.scale(c));
            }
    });
}

}  // namespace pare::kv::inline PARE_ARCH_NAMESPACE

#endif  // PARE_KV_CHANNEL_SCALES_HPP
