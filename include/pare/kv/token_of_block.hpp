// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KV_TOKEN_OF_BLOCK_HPP
#define PARE_KV_TOKEN_OF_BLOCK_HPP

#include "block_layout.hpp"
#include "codes.hpp"

#include <array>
#include <bit>
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
void put_code(place to, unsigned code) noexcept {
    if constexpr (E == element::i8) *to.at = static_cast<std::byte>(code);
    else *to.at = (*to.at & std::byte{0xf0} >> to.shift) | static_cast<std::byte>(code << to.shift);
}

template <element E>
void put(place to, float x, affine a) noexcept {
    const auto write = [&](auto stored) { std::memcpy(to.at, &stored, sizeof(stored)); };
    if constexpr (E == element::f32) write(x);
    else if constexpr (E == element::f16) write(from_float<f16>(x));
    else if constexpr (E == element::bf16) write(from_float<bf16>(x));
    else put_code<E>(to, code_of(x, a, levels_of(E)));
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

// One token's key or value in a block, its scale its own or, per_channel, shared with the block's
// other tokens: those are written by channel_scales.hpp.
struct token_of_block {
    element type;
    bool is_key;
    std::byte* row;     // its first group
    std::byte* scales;  // n_scales of them; minima follow
    std::size_t n_scales;
    std::size_t token;
    bool per_channel;

    template <element E>
    place at(std::size_t c) const noexcept {
        constexpr std::size_t deep = depth_of(E);
        const std::size_t lane = is_key ? token % group : c % group;
        const std::size_t of_group = is_key ? c / deep : c / group;
        return place_in_lane(
            row + of_group * block_layout::group_bytes(E) + lane * block_layout::lane_bytes(E),
            (is_key ? c : token) % deep);
    }
    affine scale(std::size_t c) const noexcept {
        affine a{};
        if (!has_scales(type)) return a;
        const std::byte* const mine = scales + (per_channel ? c : token) * sizeof(f16);
        std::memcpy(&a.scale, mine, sizeof(f16));
        std::memcpy(&a.minimum, mine + n_scales * sizeof(f16), sizeof(f16));
        return a;
    }
    void set_scale(std::size_t c, affine a) const noexcept {
        if (!has_scales(type)) return;
        std::byte* const mine = scales + (per_channel ? c : token) * sizeof(f16);
        std::memcpy(mine, &a.scale, sizeof(f16));
        std::memcpy(mine + n_scales * sizeof(f16), &a.minimum, sizeof(f16));
    }
    void write(std::span<const float> numbers) const noexcept {
        const affine a =
            has_scales(type) ? fit(numbers, static_cast<float>(levels_of(type))) : affine{};
        set_scale(0, a);
        with_element(type, [&]<element E>() {
            std::size_t c = 0;
            if constexpr (has_scales(E))
                for (; c + at_once <= numbers.size(); c += at_once) {
                    std::array<unsigned, at_once> codes;
                    for (std::size_t l = 0; l < at_once; ++l)
                        codes[l] = code_of(numbers[c + l], a, levels_of(E));
                    for (std::size_t l = 0; l < at_once; ++l) put_code<E>(at<E>(c + l), codes[l]);
                }
            for (; c < numbers.size(); ++c) put<E>(at<E>(c), numbers[c], a);
        });
    }
    void read(std::span<float> numbers) const noexcept {
        affine a = scale(0);
        with_element(type, [&]<element E>() {
            for (std::size_t c = 0; c < numbers.size(); ++c) {
                if (per_channel) a = scale(c);
                numbers[c] = get<E>(at<E>(c), a);
            }
        });
    }
    void copy_from(const token_of_block& other, std::size_t head_dim) const noexcept {
        set_scale(0, other.scale(0));
        with_element(type, [&]<element E>() {
            constexpr std::size_t deep = depth_of(E), bytes = block_layout::lane_bytes(E);
            std::byte* to = at<E>(0).at;
            const std::byte* from = other.at<E>(0).at;
            if (is_key)  // a lane is one token's
                for (std::size_t c = 0; c < head_dim; c += deep) {
                    std::memcpy(to, from, bytes);
                    to += block_layout::group_bytes(E), from += block_layout::group_bytes(E);
                }
            else if constexpr (deep == 1) std::memcpy(to, from, head_dim * bytes);
            else
                copy_in_words(row, bit_in_word(token % deep), other.row,
                              bit_in_word(other.token % deep), levels_of(E), head_dim);
        });
    }

  private:
    // Where number k of a lane begins in its four bytes, taken as a word.
    static unsigned bit_in_word(std::size_t k) noexcept {
        constexpr bool little = std::endian::native == std::endian::little;
        return static_cast<unsigned>((little ? k % 4 : 3 - k % 4) * 8 + k / 4 * 4);
    }
    // One number of each lane: a loop that compilers turn into vectors.
    static void copy_in_words(std::byte* to, unsigned to_bit, const std::byte* from,
                              unsigned from_bit, std::uint32_t levels, std::size_t n) noexcept {
        for (std::size_t c = 0; c < n; ++c) {
            std::uint32_t word, source;
            std::memcpy(&word, to + c * sizeof(word), sizeof(word));
            std::memcpy(&source, from + c * sizeof(word), sizeof(word));
            word = (word & ~(levels << to_bit)) | (source >> from_bit & levels) << to_bit;
            std::memcpy(to + c * sizeof(word), &word, sizeof(word));
        }
    }
};

inline token_of_block key_of(const block_layout& layout, std::byte* block,
                             std::size_t token) noexcept {
    return {layout.keys,
            true,
            block + token / group * layout.tile_bytes(),
            block + layout.key_scales_at(),
            layout.n_key_scales(),
            token,
            layout.has_channel_scales()};
}

inline token_of_block value_of(const block_layout& layout, std::byte* block,
                               std::size_t token) noexcept {
    return {layout.values,
            false,
            block + layout.values_at() + token / depth_of(layout.values) * layout.value_row_bytes(),
            block + layout.value_scales_at(),
            block_tokens,
            token,
            false};
}

}  // namespace detail

}  // namespace pare::kv::inline PARE_ARCH_NAMESPACE

#endif  // PARE_KV_TOKEN_OF_BLOCK_HPP
