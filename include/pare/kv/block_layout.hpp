// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KV_BLOCK_LAYOUT_HPP
#define PARE_KV_BLOCK_LAYOUT_HPP

#include "../core/config.hpp"
#include "../core/dtype.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace pare::kv {

/// What keys or values are stored as. i8 and i4: unsigned codes with a 16-bit scale and minimum per
/// token and head, x = scale * code + minimum.
enum class element : std::uint8_t { f32, f16, bf16, i8, i4 };

/// Bits of one stored number, without its share of the scales.
PARE_ALWAYS_INLINE constexpr std::size_t bits_of(element e) noexcept {
    constexpr std::array<std::size_t, 5> bits{32, 16, 16, 8, 4};
    return bits[static_cast<std::size_t>(e)];
}
PARE_ALWAYS_INLINE constexpr bool has_scales(element e) noexcept {
    return e == element::i8 || e == element::i4;
}
/// The largest code.
PARE_ALWAYS_INLINE constexpr unsigned levels_of(element e) noexcept {
    return e == element::i8 ? 255 : 15;
}

/// Calls visit.operator()<E>() for the element's type.
PARE_ALWAYS_INLINE constexpr void with_element(element e, auto&& visit) noexcept {
    switch (e) {
        case element::f32:
            return visit.template operator()<element::f32>();
        case element::f16:
            return visit.template operator()<element::f16>();
        case element::bf16:
            return visit.template operator()<element::bf16>();
        case element::i8:
            return visit.template operator()<element::i8>();
        case element::i4:
            return visit.template operator()<element::i4>();
    }
}

/// Tokens of a block: what one head's keys and values are stored and freed by.
inline constexpr std::size_t block_tokens = 32;
/// Lanes that are read together: 16 tokens of a key, 16 channels of a value.
inline constexpr std::size_t group = 16;

/// Consecutive numbers of a lane: those that an integer dot product adds up. Channels of a key,
/// tokens of a value.
PARE_ALWAYS_INLINE constexpr std::size_t depth_of(element e) noexcept {
    return e == element::i8 ? 4 : e == element::i4 ? 8 : 1;
}

/// The bytes of a block of 32 tokens of one KV head, in groups of 16 lanes:
///   keys    [tile of 16 tokens][channel / depth][16 tokens][depth channels]: scores grow in lanes
///   values  [token / depth][channel / 16][16 channels][depth tokens]: outputs grow in lanes
///   scales  for i8 and i4: of the keys, then of the values, f16 each: 32 scales, 32 minima, one
///           per token; keys_per_channel: of keys one per channel, padded to groups
/// depth is 1; for i8 4, for i4 8, four bytes a lane: byte b of i4 holds number b in its low,
/// number b + 4 in its high nibble. Last, with key_ranges:
///   ranges  of each tile: least, then largest number of every channel, f16
/// and with key_channels:
///   channels  those that the keys keep, ascending, 16 bits each
struct block_layout {
    element keys = element::f32;
    element values = element::f32;
    std::size_t head_dim = 0;  ///< channels, even
    /// i8 and i4 keys: a scale and minimum for each channel over the block's 32 tokens, for keys
    /// have channels that are far larger than others. KIVI, Liu et al., arXiv:2402.02750; there a
    /// block is encoded when it is full, here a range widens as tokens come (channel_scales.hpp).
    bool keys_per_channel = false;
    /// Keys and values are stored after an orthonormal Walsh-Hadamard transform of each head, which
    /// spreads outliers over all channels; reading and attention undo it. QuaRot, Ashkboos et al.,
    /// arXiv:2404.00456.
    bool hadamard = false;
    /// Channels that a key keeps, those that the block lists; 0: all. ThinK, Xu et al.,
    /// arXiv:2407.21018. Not in a first tier: kv::think chooses when tokens are demoted.
    std::size_t key_channels = 0;
    bool key_ranges = false;  ///< with the least and largest number of each channel of a tile

    /// Channels that a head with one of the options above can have at most.
    static constexpr std::size_t most_channels = 1024;
    PARE_ALWAYS_INLINE constexpr bool is_valid() const noexcept {
        return head_dim != 0 && head_dim % 2 == 0 &&
               (head_dim <= most_channels ||
                (!keys_per_channel && !hadamard && key_channels == 0)) &&
               (key_channels == 0 || (key_channels <= head_dim && !hadamard && !key_ranges));
    }
    /// Channels of a stored key.
    PARE_ALWAYS_INLINE constexpr std::size_t key_dim() const noexcept {
        return key_channels == 0 ? head_dim : key_channels;
    }
    /// Whether key scales go by channel: exact types have none.
    PARE_ALWAYS_INLINE constexpr bool has_channel_scales() const noexcept {
        return keys_per_channel && has_scales(keys);
    }
    /// Scales of keys, and as many minima.
    PARE_ALWAYS_INLINE constexpr std::size_t n_key_scales() const noexcept {
        return !has_scales(keys) ? 0 : keys_per_channel ? padded_dim() : block_tokens;
    }
    PARE_ALWAYS_INLINE static constexpr std::size_t lane_bytes(element e) noexcept {
        return depth_of(e) * bits_of(e) / 8;
    }
    PARE_ALWAYS_INLINE static constexpr std::size_t group_bytes(element e) noexcept {
        return group * lane_bytes(e);
    }
    /// Groups of a tile of keys; what fills up the last is zero.
    PARE_ALWAYS_INLINE constexpr std::size_t key_groups() const noexcept {
        return (key_dim() + depth_of(keys) - 1) / depth_of(keys);
    }
    /// Channels of a stored value: whole groups; what fills up the last is zero.
    PARE_ALWAYS_INLINE constexpr std::size_t padded_dim() const noexcept {
        return (head_dim + group - 1) / group * group;
    }
    PARE_ALWAYS_INLINE constexpr std::size_t tile_bytes() const noexcept {
        return key_groups() * group_bytes(keys);
    }
    /// A row of values: all channels of depth_of(values) tokens.
    PARE_ALWAYS_INLINE constexpr std::size_t value_row_bytes() const noexcept {
        return padded_dim() / group * group_bytes(values);
    }
    PARE_ALWAYS_INLINE constexpr std::size_t values_at() const noexcept {
        return block_tokens / group * tile_bytes();
    }
    PARE_ALWAYS_INLINE constexpr std::size_t key_scales_at() const noexcept {
        return values_at() + block_tokens / depth_of(values) * value_row_bytes();
    }
    PARE_ALWAYS_INLINE constexpr std::size_t value_scales_at() const noexcept {
        return key_scales_at() + 2 * n_key_scales() * sizeof(f16);
    }
    PARE_ALWAYS_INLINE constexpr std::size_t ranges_at() const noexcept {
        return value_scales_at() + (has_scales(values) ? 2 * block_tokens * sizeof(f16) : 0);
    }
    /// Of one tile: the least, then the largest number of each channel, f16, in whole groups.
    PARE_ALWAYS_INLINE constexpr std::size_t range_bytes() const noexcept {
        return key_ranges ? 2 * padded_dim() * sizeof(f16) : 0;
    }
    PARE_ALWAYS_INLINE constexpr std::size_t channels_at() const noexcept {
        return ranges_at() + block_tokens / group * range_bytes();
    }
    PARE_ALWAYS_INLINE constexpr std::size_t bytes() const noexcept {
        return channels_at() + key_channels * sizeof(std::uint16_t);
    }

    friend constexpr bool operator==(const block_layout&, const block_layout&) = default;
};

static_assert(block_layout{element::f16, element::f16, 128}.bytes() == 32 * 512);
static_assert(block_layout{element::i4, element::i4, 128}.bytes() == 32 * (128 + 8));

static_assert(std::is_trivially_copyable_v<block_layout>);

}  // namespace pare::kv

#endif  // PARE_KV_BLOCK_LAYOUT_HPP
