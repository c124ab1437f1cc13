// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PRUNE_CHANNEL_OPERATION_HPP
#define PARE_PRUNE_CHANNEL_OPERATION_HPP

#include "../core/config.hpp"

#include <array>
#include <cstddef>
#include <cstdint>

namespace pare::prune {

/// What an operation of a model does to channels. Operations are numbered in the order of a list,
/// each reads what some before it wrote. Whatever treats channels one by one (activations, pools,
/// norms, biases) is no operation: its readers name the one before it.
struct channel_operation {
    enum class kind : std::uint8_t {
        input,
        layer,
        depthwise,
        elementwise,
        concatenation,
        padding,
        attention,
        output
    };

    kind what = kind::input;
    std::array<std::size_t, 3> reads{};
    std::size_t channels = 0;
    std::size_t taps = 1, positions = 1, groups = 1;
    std::size_t front = 0;
    std::size_t head_dim = 0;

    /// What a model is given: it stays whole.
    PARE_ALWAYS_INLINE static constexpr channel_operation input(std::size_t channels) noexcept {
        return {.what = kind::input, .channels = channels};
    }
    /// A product that mixes channels: weights (channels, inputs / groups * taps), a channel's taps
    /// side by side.
    /// @param taps       weights per input channel: of a kernel, or the pixels of a map that is
    ///                   read flat
    /// @param positions  outputs per channel (pixels, or 1), for multiply-adds
    PARE_ALWAYS_INLINE static constexpr channel_operation layer(std::size_t from,
                                                                std::size_t channels,
                                                                std::size_t taps = 1,
                                                                std::size_t positions = 1,
                                                                std::size_t groups = 1) noexcept {
        return {.what = kind::layer,
                .reads = {from},
                .channels = channels,
                .taps = taps,
                .positions = positions,
                .groups = groups};
    }
    /// A filter, or several side by side, for each channel: weights (channels, taps).
    PARE_ALWAYS_INLINE static constexpr channel_operation depthwise(
        std::size_t from, std::size_t channels, std::size_t taps,
        std::size_t positions = 1) noexcept {
        return {.what = kind::depthwise,
                .reads = {from},
                .channels = channels,
                .taps = taps,
                .positions = positions};
    }
    /// A sum or a product of channel i with channel i: residuals, gates.
    PARE_ALWAYS_INLINE static constexpr channel_operation elementwise(std::size_t a,
                                                                      std::size_t b) noexcept {
        return {.what = kind::elementwise, .reads = {a, b}};
    }
    /// The channels of a, then those of b.
    PARE_ALWAYS_INLINE static constexpr channel_operation concatenation(std::size_t a,
                                                                        std::size_t b) noexcept {
        return {.what = kind::concatenation, .reads = {a, b}};
    }
    /// Zeros for channels that are lacking, `front` of them before the others: shortcuts of He et
    /// al., arXiv:1512.03385, option A.
    PARE_ALWAYS_INLINE static constexpr channel_operation padding(std::size_t from,
                                                                  std::size_t channels,
                                                                  std::size_t front) noexcept {
        return {.what = kind::padding, .reads = {from}, .channels = channels, .front = front};
    }
    /// Heads of head_dim channels, several query heads in a row for each key and value head; writes
    /// as many channels as q has. A key and value head goes with its query heads.
    PARE_ALWAYS_INLINE static constexpr channel_operation attention(std::size_t q, std::size_t k,
                                                                    std::size_t v,
                                                                    std::size_t head_dim) noexcept {
        return {.what = kind::attention, .reads = {q, k, v}, .head_dim = head_dim};
    }
    /// What the outside reads: it stays whole.
    PARE_ALWAYS_INLINE static constexpr channel_operation output(std::size_t from) noexcept {
        return {.what = kind::output, .reads = {from}};
    }

    PARE_ALWAYS_INLINE constexpr bool has_weights() const noexcept {
        return what == kind::layer || what == kind::depthwise;
    }
    PARE_ALWAYS_INLINE constexpr std::size_t n_reads() const noexcept {
        switch (what) {
            case kind::input:
                return 0;
            case kind::elementwise:
            case kind::concatenation:
                return 2;
            case kind::attention:
                return 3;
            default:
                return 1;
        }
    }
};

}  // namespace pare::prune

#endif  // PARE_PRUNE_CHANNEL_OPERATION_HPP
