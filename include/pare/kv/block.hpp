// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KV_BLOCK_HPP
#define PARE_KV_BLOCK_HPP

#include "../core/config.hpp"
#include "../core/dtype.hpp"
#include "block_layout.hpp"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace pare::kv::inline PARE_ARCH_NAMESPACE {

namespace detail {

struct affine {
    f16 scale, minimum;
};

// The half above (1) or below (-1) a finite one that is not the largest.
inline f16 next(f16 x, int direction) noexcept {
    if ((x.bits & 0x7fff) == 0)
        return {static_cast<std::uint16_t>(direction > 0 ? 0x0001 : 0x8001)};
    const bool away = (x.bits >> 15) == (direction < 0 ? 1 : 0);
    return {static_cast<std::uint16_t>(away ? x.bits + 1 : x.bits - 1)};
}

// Scale and minimum that map `numbers` to codes in [0, levels]. Decided by comparisons that a NaN
// fails, so that any input gives numbers that decode.
inline affine fit(std::span<const float> numbers, float levels) noexcept {
    float least = 65504.0f, most = -65504.0f;
    for (const float x : numbers) {
        if (x < least) least = x;
        if (x > most) most = x;
    }
    if (least < -65504.0f) least = -65504.0f;
    if (most > 65504.0f) most = 65504.0f;
    if (!(least <= most)) least = most = 0.0f;
    // Rounded outwards, the minimum down and the scale up, so that no number is cut.
    f16 minimum = from_float<f16>(least);
    if (to_float(minimum) > least) minimum = next(minimum, -1);
    const float range = most - to_float(minimum);
    f16 scale = from_float<f16>(range > 0.0f ? range / levels : 0.0f);
    if (to_float(scale) * levels < range) scale = next(scale, 1);
    return {scale, minimum};
}

inline unsigned code_of(float x, affine a, unsigned levels) noexcept {
    const float scale = to_float(a.scale);
    const float code = scale > 0.0f ? (x - to_float(a.minimum)) / scale + 0.5f : 0.0f;
    if (!(code > 0.0f)) return 0;
    return code < static_cast<float>(levels) ? static_cast<unsigned>(code) : levels;
}

inline float decode(unsigned code, affine a) noexcept {
    return to_float(a.scale) * static_cast<float>(code) + to_float(a.minimum);
}

// The `lane`-th number of the group of 16 at `at`.
inline void put(std::byte* at, element e, std::size_t lane, float x, affine a) noexcept {
    const auto write = [&](auto stored) {
        std::memcpy(at + lane * sizeof(stored), &stored, sizeof(stored));
    };
    switch (e) {
        case element::f32:
            return write(x);
        case element::f16:
            return write(from_float<f16>(x));
        case element::bf16:
            return write(from_float<bf16>(x));
        case element::i8:
            return write(static_cast<std::uint8_t>(code_of(x, a, 255)));
        case element::i4: {
            const unsigned shift = lane < 8 ? 0 : 4, old = static_cast<unsigned>(at[lane % 8]);
            at[lane % 8] =
                static_cast<std::byte>((old & (0xf0u >> shift)) | (code_of(x, a, 15) << shift));
        }
    }
}

inline float get(const std::byte* at, element e, std::size_t lane, affine a) noexcept {
    const auto read = [&](auto stored) {
        std::memcpy(&stored, at + lane * sizeof(stored), sizeof(stored));
        return stored;
    };
    switch (e) {
        case element::f32:
            return read(0.0f);
        case element::f16:
            return to_float(read(f16{}));
        case element::bf16:
            return to_float(read(bf16{}));
        case element::i8:
            return decode(read(std::uint8_t{}), a);
        case element::i4:
            break;
    }
    return decode((static_cast<unsigned>(at[lane % 8]) >> (lane < 8 ? 0 : 4)) & 0xfu, a);
}

// The numbers of one token in a block: the group that channel c lies in, and its lane there.
struct token_of_block {
    element type;
    std::byte* codes;
    std::byte* scales;  // of the block's 32 tokens; minima follow
    std::size_t token, channel_bytes, group_bytes;
    bool channels_in_lanes;

    std::byte* at(std::size_t c) const noexcept {
        return codes + (channels_in_lanes ? c / group * group_bytes : c * channel_bytes);
    }
    std::size_t lane(std::size_t c) const noexcept {
        return (channels_in_lanes ? c : token) % group;
    }
    affine scale() const noexcept {
        affine a{};
        if (!has_scales(type)) return a;
        std::memcpy(&a.scale, scales + token * sizeof(f16), sizeof(f16));
        std::memcpy(&a.minimum, scales + (block_tokens + token) * sizeof(f16), sizeof(f16));
        return a;
    }
    void set_scale(affine a) const noexcept {
        if (!has_scales(type)) return;
        std::memcpy(scales + token * sizeof(f16), &a.scale, sizeof(f16));
        std::memcpy(scales + (block_tokens + token) * sizeof(f16), &a.minimum, sizeof(f16));
    }
    void write(std::span<const float> numbers) const noexcept {
        const affine a =
            has_scales(type) ? fit(numbers, type == element::i8 ? 255.0f : 15.0f) : affine{};
        set_scale(a);
        for (std::size_t c = 0; c < numbers.size(); ++c) put(at(c), type, lane(c), numbers[c], a);
    }
    void read(std::span<float> numbers) const noexcept {
        const affine a = scale();
        for (std::size_t c = 0; c < numbers.size(); ++c) numbers[c] = get(at(c), type, lane(c), a);
    }
};

inline token_of_block key_of(const block_layout& layout, std::byte* block,
                             std::size_t token) noexcept {
    const std::size_t bytes = block_layout::group_bytes(layout.keys);
    return {layout.keys,
            block + token / group * layout.tile_bytes(),
            block + layout.key_scales_at(),
            token,
            bytes,
            bytes,
            false};
}

inline token_of_block value_of(const block_layout& layout, std::byte* block,
                               std::size_t token) noexcept {
    return {layout.values,
            block + layout.values_at() + token * layout.value_bytes(),
            block + layout.value_scales_at(),
            token,
            0,
            block_layout::group_bytes(layout.values),
            true};
}

}  // namespace detail

/// Stores the key and value (head_dim) of one token of a block, rounded to its types: to nearest,
/// for i8 and i4 to 1/255 and 1/15 of the token's own range (numbers beyond +-65504 are cut, NaN
/// gives a code).
/// The channels that pad a value must be zero: a block starts zeroed.
inline void write_token(const block_layout& layout, std::byte* block, std::size_t token,
                        std::span<const float> key, std::span<const float> value) noexcept {
    PARE_ASSERT(
        token < block_tokens && key.size() == layout.head_dim && value.size() == layout.head_dim,
        "one token of head_dim channels");
    detail::key_of(layout, block, token).write(key);
    detail::value_of(layout, block, token).write(value);
}

/// Stores another value in place of a token's, rounded likewise; its key stays.
inline void write_value(const block_layout& layout, std::byte* block, std::size_t token,
                        std::span<const float> value) noexcept {
    PARE_ASSERT(token < block_tokens && value.size() == layout.head_dim,
                "a value of head_dim channels");
    detail::value_of(layout, block, token).write(value);
}

/// Stores another key in place of a token's, rounded likewise; its value stays.
inline void write_key(const block_layout& layout, std::byte* block, std::size_t token,
                      std::span<const float> key) noexcept {
    PARE_ASSERT(token < block_tokens && key.size() == layout.head_dim,
                "a key of head_dim channels");
    detail::key_of(layout, block, token).write(key);
}

/// What attention sees of a token: its stored key or value, decoded (head_dim).
inline void read_key(const block_layout& layout, const std::byte* block, std::size_t token,
                     std::span<float> key) noexcept {
    detail::key_of(layout, const_cast<std::byte*>(block), token).read(key);
}
inline void read_value(const block_layout& layout, const std::byte* block, std::size_t token,
                       std::span<float> value) noexcept {
    detail::value_of(layout, const_cast<std::byte*>(block), token).read(value);
}

/// Copies a token as stored, bit for bit, between blocks of one layout.
inline void copy_token(const block_layout& layout, const std::byte* from, std::size_t from_token,
                       std::byte* to, std::size_t to_token) noexcept {
    const auto copy = [&](const detail::token_of_block& a, const detail::token_of_block& b) {
        b.set_scale(a.scale());
        const auto copy_channels = [&](auto number) {
            const std::byte* get = a.codes + a.lane(0) * sizeof(number);
            std::byte* put = b.codes + b.lane(0) * sizeof(number);
            for (std::size_t c = 0; c < layout.head_dim;
                 ++c, get += a.channel_bytes, put += a.channel_bytes) {
                std::memcpy(&number, get, sizeof(number));
                std::memcpy(put, &number, sizeof(number));
            }
        };
        if (a.channels_in_lanes) {
            std::memcpy(b.codes, a.codes, layout.value_bytes());
            return;
        }
        switch (a.type) {
            case element::f32:
                return copy_channels(std::uint32_t{});
            case element::f16:
            case element::bf16:
                return copy_channels(std::uint16_t{});
            case element::i8:
                return copy_channels(std::uint8_t{});
            case element::i4:
                break;
        }
        const unsigned shift = a.lane(0) < 8 ? 0 : 4, to_shift = b.lane(0) < 8 ? 0 : 4;
        const std::byte* get = a.codes + a.lane(0) % 8;
        std::byte* put = b.codes + b.lane(0) % 8;
        for (std::size_t c = 0; c < layout.head_dim;
             ++c, get += a.channel_bytes, put += a.channel_bytes) {
            const unsigned code = (static_cast<unsigned>(*get) >> shift) & 0xfu;
            *put = static_cast<std::byte>((static_cast<unsigned>(*put) & (0xf0u >> to_shift)) |
                                          (code << to_shift));
        }
    };
    std::byte* const source = const_cast<std::byte*>(from);
    copy(detail::key_of(layout, source, from_token), detail::key_of(layout, to, to_token));
    copy(detail::value_of(layout, source, from_token), detail::value_of(layout, to, to_token));
}

}  // namespace pare::kv::inline PARE_ARCH_NAMESPACE

#endif  // PARE_KV_BLOCK_HPP
