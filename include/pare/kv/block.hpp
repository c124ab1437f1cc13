// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KV_BLOCK_HPP
#define PARE_KV_BLOCK_HPP

#include "../core/config.hpp"
#include "../core/tensor_view.hpp"
#include "channel_scales.hpp"
#include "hadamard.hpp"
#include "token_of_block.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace pare::kv::inline PARE_ARCH_NAMESPACE {

namespace detail {

// The i-th channel of a block's list.
inline std::size_t channel_at(const std::byte* list, std::size_t i) noexcept {
    std::uint16_t channel;
    std::memcpy(&channel, list + i * sizeof(channel), sizeof(channel));
    return channel;
}

// Numbers as a layout stores them: transformed or without the channels that keys lose, in memory of
// its own, or as they are.
class stored_form {
  public:
    stored_form(const block_layout& layout, const std::byte* block) noexcept
        : transforms_(layout.hadamard), n_channels_(layout.key_channels),
          channels_(block + layout.channels_at()) {}
    std::span<const float> value(std::span<const float> x) noexcept {
        if (!transforms_) return x;
        for (std::size_t c = 0; c < x.size(); ++c) memory_[c] = x[c];
        hadamard(std::span(memory_.data(), x.size()));
        return {memory_.data(), x.size()};
    }
    std::span<const float> key(std::span<const float> x) noexcept {
        if (n_channels_ == 0) return value(x);
        for (std::size_t i = 0; i < n_channels_; ++i) memory_[i] = x[channel_at(channels_, i)];
        return {memory_.data(), n_channels_};
    }

  private:
    bool transforms_;
    std::size_t n_channels_;
    const std::byte* channels_;
    std::array<float, block_layout::most_channels> memory_;
};

}  // namespace detail

/// Stores the keys and values (n, head_dim) of tokens `first`, `first` + 1, ... of a block, rounded
/// to its types: to nearest, for i8 and i4 to 1/255 and 1/15 of the token's own range (numbers
/// beyond
/// +-65504 are cut, NaN gives a code). Keys with scales per channel are rounded to 1/255 and 1/15
/// of a channel's range over the 32 tokens when these are written together; tokens that come later
/// may widen it, and then those before are off by 5/2 of its step at most. What fills up a group
/// must be zero: a block starts zeroed.
inline void write_tokens(const block_layout& layout, std::byte* block, std::size_t first,
                         matrix_view<const float> keys, matrix_view<const float> values) noexcept {
    PARE_ASSERT(layout.is_valid() && first + keys.rows() <= block_tokens &&
                    keys.cols() == layout.head_dim && values.extents() == keys.extents(),
                "tokens of head_dim channels");
    detail::stored_form stored(layout, block);
    if (layout.has_channel_scales())
        write_keys_per_channel(layout, block, first, keys.rows(),
                               [&](std::size_t i) { return stored.key(keys.row_span(i)); });
    else
        for (std::size_t i = 0; i < keys.rows(); ++i)
            detail::key_of(layout, block, first + i).write(stored.key(keys.row_span(i)));
    for (std::size_t i = 0; i < values.rows(); ++i)
        detail::value_of(layout, block, first + i).write(stored.value(values.row_span(i)));
}

/// One token.
inline void write_token(const block_layout& layout, std::byte* block, std::size_t token,
                        std::span<const float> key, std::span<const float> value) noexcept {
    PARE_ASSERT(key.size() == layout.head_dim && value.size() == layout.head_dim,
                "one token of head_dim channels");
    write_tokens(layout, block, token, {key.data(), 1, key.size()},
                 {value.data(), 1, value.size()});
}

/// Stores another value in place of a token's, rounded likewise; its key stays.
inline void write_value(const block_layout& layout, std::byte* block, std::size_t token,
                        std::span<const float> value) noexcept {
    PARE_ASSERT(token < block_tokens && value.size() == layout.head_dim,
                "a value of head_dim channels");
    detail::value_of(layout, block, token).write(detail::stored_form(layout, block).value(value));
}

/// Stores another key in place of a token's, rounded likewise; its value stays.
inline void write_key(const block_layout& layout, std::byte* block, std::size_t token,
                      std::span<const float> key) noexcept {
    PARE_ASSERT(token < block_tokens && key.size() == layout.head_dim,
                "a key of head_dim channels");
    detail::stored_form stored(layout, block);
    if (!layout.has_channel_scales())
        return detail::key_of(layout, block, token).write(stored.key(key));
    write_keys_per_channel(layout, block, token, 1, [&](std::size_t) { return stored.key(key); });
}

/// What attention sees of a token: its stored key or value, decoded (head_dim); channels that keys
/// lost are 0.
inline void read_key(const block_layout& layout, const std::byte* block, std::size_t token,
                     std::span<float> key) noexcept {
    detail::key_of(layout, const_cast<std::byte*>(block), token).read(key.first(layout.key_dim()));
    if (layout.hadamard) hadamard(key);
    if (layout.key_channels == 0) return;
    std::size_t left = layout.key_channels;  // those before lie where they do or further back
    for (std::size_t c = layout.head_dim; c-- > 0;) {
        const bool there =
            left > 0 && detail::channel_at(block + layout.channels_at(), left - 1) == c;
        key[c] = there ? key[--left] : 0.0f;
    }
}
inline void read_value(const block_layout& layout, const std::byte* block, std::size_t token,
                       std::span<float> value) noexcept {
    detail::value_of(layout, const_cast<std::byte*>(block), token).read(value);
    if (layout.hadamard) hadamard(value);
}

/// Copies a token between blocks of one layout: as stored, bit for bit, but for keys between blocks
/// whose channels have different scales.
inline void copy_token(const block_layout& layout, const std::byte* from, std::size_t from_token,
                       std::byte* to, std::size_t to_token) noexcept {
    std::byte* const source = const_cast<std::byte*>(from);
    if (layout.has_channel_scales()) copy_key_per_channel(layout, from, from_token, to, to_token);
    else
        detail::key_of(layout, to, to_token)
            .copy_from(detail::key_of(layout, source, from_token), layout.key_dim());
    detail::value_of(layout, to, to_token)
        .copy_from(detail::value_of(layout, source, from_token), layout.head_dim);
}

}  // namespace pare::kv::inline PARE_ARCH_NAMESPACE

#endif  // PARE_KV_BLOCK_HPP
