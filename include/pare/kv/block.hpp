// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KV_BLOCK_HPP
#define PARE_KV_BLOCK_HPP

#include "../core/config.hpp"
#include "../core/dtype.hpp"
#include "block_layout.hpp"
#include "codes.hpp"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace pare::kv::inline PARE_ARCH_NAMESPACE {

namespace detail {

// Where a number is stored: of i4 half of a byte.
struct place {
    std::byte* at;
    unsigned shift;
};

// Number k of a lane: bytes 0 to 3, of i4 their low halves, then their high ones.
inline place place_in_lane(std::byte* lane, std::size_t k) noexcept {
    return {lane + k % 4, k < 4 ? 0u : 4u};
}

template <element E>
void put(place to, float x, affine a) noexcept {
    const auto write = [&](auto stored) { std::memcpy(to.at, &stored, sizeof(stored)); };
    if constexpr (E == element::f32) write(x);
    else if constexpr (E == element::f16) write(from_float<f16>(x));
    else if constexpr (E == element::bf16) write(from_float<bf16>(x));
    else if constexpr (E == element::i8) write(static_cast<std::uint8_t>(code_of(x, a, 255)));
    else
        *to.at = (*to.at & std::byte{0xf0} >> to.shift) |
                 static_cast<std::byte>(code_of(x, a, 15) << to.shift);
}

template <element E>
float get(place from, affine a) noexcept {
    const auto read = [&](auto stored) {
        std::memcpy(&stored, from.at, sizeof(stored));
        return stored;
    };
    if constexpr (E == element::f32) return read(0.0f);
    else if constexpr (E == element::f16) return to_float(read(f16{}));
    else if constexpr (E == element::bf16) return to_float(read(bf16{}));
    else if constexpr (E == element::i8) return decode(read(std::uint8_t{}), a);
    else return decode(static_cast<unsigned>(*from.at) >> from.shift & 0xfu, a);
}

// As it is stored.
template <element E>
void copy(place from, place to) noexcept {
    if constexpr (E == element::i4)
        *to.at = (*to.at & std::byte{0xf0} >> to.shift) | (*from.at >> from.shift & std::byte{0x0f})
                                                              << to.shift;
    else std::memcpy(to.at, from.at, bits_of(E) / 8);
}

// One token's key or value in a block. Channel c is number c % `deep` of lane `lane` of its group,
// or, of values, number `number` of lane c % 16.
struct token_of_block {
    element type;
    bool is_key;
    std::byte* row;     // its first group
    std::byte* scales;  // of the block's 32 tokens; minima follow
    std::size_t token;

    template <element E>
    place at(std::size_t c) const noexcept {
        constexpr std::size_t deep = depth_of(E);
        const std::size_t lane = is_key ? token % group : c % group;
        const std::size_t of_group = is_key ? c / deep : c / group;
        return place_in_lane(
            row + of_group * block_layout::group_bytes(E) + lane * block_layout::lane_bytes(E),
            (is_key ? c : token) % deep);
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
            has_scales(type) ? fit(numbers, static_cast<float>(levels_of(type))) : affine{};
        set_scale(a);
        with_element(type, [&]<element E>() {
            for (std::size_t c = 0; c < numbers.size(); ++c) put<E>(at<E>(c), numbers[c], a);
        });
    }
    void read(std::span<float> numbers) const noexcept {
        const affine a = scale();
        with_element(type, [&]<element E>() {
            for (std::size_t c = 0; c < numbers.size(); ++c) numbers[c] = get<E>(at<E>(c), a);
        });
    }
    void copy_from(const token_of_block& other, std::size_t head_dim) const noexcept {
        set_scale(other.scale());
        with_element(type, [&]<element E>() {
            for (std::size_t c = 0; c < head_dim; ++c) copy<E>(other.at<E>(c), at<E>(c));
        });
    }
};

inline token_of_block key_of(const block_layout& layout, std::byte* block,
                             std::size_t token) noexcept {
    return {layout.keys, true, block + token / group * layout.tile_bytes(),
            block + layout.key_scales_at(), token};
}

inline token_of_block value_of(const block_layout& layout, std::byte* block,
                               std::size_t token) noexcept {
    return {layout.values, false,
            block + layout.values_at() + token / depth_of(layout.values) * layout.value_row_bytes(),
            block + layout.value_scales_at(), token};
}

}  // namespace detail

/// Stores the key and value (head_dim) of one token of a block, rounded to its types: to nearest,
/// for i8 and i4 to 1/255 and 1/15 of the token's own range (numbers beyond +-65504 are cut, NaN
/// gives a code).
/// What fills up a group must be zero: a block starts zeroed.
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
    std::byte* const source = const_cast<std::byte*>(from);
    detail::key_of(layout, to, to_token)
        .copy_from(detail::key_of(layout, source, from_token), layout.head_dim);
    detail::value_of(layout, to, to_token)
        .copy_from(detail::value_of(layout, source, from_token), layout.head_dim);
}

}  // namespace pare::kv::inline PARE_ARCH_NAMESPACE

#endif  // PARE_KV_BLOCK_HPP
