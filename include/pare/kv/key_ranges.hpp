// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KV_KEY_RANGES_HPP
#define PARE_KV_KEY_RANGES_HPP

#include "../core/dtype.hpp"
#include "block.hpp"

#include <cstddef>
#include <cstring>
#include <span>

namespace pare::kv::inline PARE_ARCH_NAMESPACE {

/// Least and largest number of every channel of a tile's 16 keys, as a block_layout with key_ranges
/// stores them: of the keys as they came, rounded outwards. A range never shrinks while its tile
/// has tokens: what has left still counts.
class key_range {
  public:
    key_range(const block_layout& layout, std::byte* block, std::size_t tile) noexcept
        : at_(block + layout.ranges_at() + tile * layout.range_bytes()), dim_(layout.head_dim),
          padded_(layout.padded_dim()) {}

    /// Holds this key alone.
    void start(std::span<const float> key) noexcept {
        for (std::size_t c = 0; c < dim_; ++c) {
            put(c, below(key[c]));
            put(padded_ + c, above(key[c]));
        }
    }
    /// Holds this key too.
    void widen(std::span<const float> key) noexcept {
        for (std::size_t c = 0; c < dim_; ++c) {
            if (key[c] < to_float(get(c))) put(c, below(key[c]));
            if (key[c] > to_float(get(padded_ + c))) put(padded_ + c, above(key[c]));
        }
    }
    /// Holds all keys of another tile too.
    void widen(const key_range& other) noexcept {
        for (std::size_t c = 0; c < dim_; ++c) {
            if (to_float(other.get(c)) < to_float(get(c))) put(c, other.get(c));
            if (to_float(other.get(padded_ + c)) > to_float(get(padded_ + c)))
                put(padded_ + c, other.get(padded_ + c));
        }
    }
    float least(std::size_t c) const noexcept { return to_float(get(c)); }
    float largest(std::size_t c) const noexcept { return to_float(get(padded_ + c)); }

  private:
    f16 get(std::size_t i) const noexcept {
        f16 x;
        std::memcpy(&x, at_ + i * sizeof(f16), sizeof(f16));
        return x;
    }
    void put(std::size_t i, f16 x) noexcept { std::memcpy(at_ + i * sizeof(f16), &x, sizeof(f16)); }
    static float cut(float x) noexcept {
        if (!(x > -65504.0f)) return -65504.0f;  // a NaN too
        return x < 65504.0f ? x : 65504.0f;
    }
    static f16 below(float x) noexcept {
        const f16 rounded = from_float<f16>(cut(x));
        return to_float(rounded) > cut(x) ? detail::next(rounded, -1) : rounded;
    }
    static f16 above(float x) noexcept {
        const f16 rounded = from_float<f16>(cut(x));
        return to_float(rounded) < cut(x) ? detail::next(rounded, 1) : rounded;
    }

    std::byte* at_;
    std::size_t dim_, padded_;
};

}  // namespace pare::kv::inline PARE_ARCH_NAMESPACE

#endif  // PARE_KV_KEY_RANGES_HPP
