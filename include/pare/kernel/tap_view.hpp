// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KERNEL_TAP_VIEW_HPP
#define PARE_KERNEL_TAP_VIEW_HPP

#include "simd/vec.hpp"
#include "tap_columns.hpp"

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace pare::kernel::inline PARE_ARCH_NAMESPACE {
namespace detail {

/// What a tap sees of some output pixels, the same in all channels: pieces of vectors, whose lanes
/// are as far apart in the map as the pixels are. Loaded by masks where these are instructions and
/// rows are no single pixels, else copied piece by piece.
class tap_view {
  public:
#if PARE_HAS_MASKED_LOADS
    static constexpr std::size_t lanes = simd::lanes;
#else
    static constexpr std::size_t lanes = 16;
#endif
    static constexpr std::size_t max_pixels = 64, max_vectors = max_pixels / lanes;

    /// Lanes whose bits are set see something; lane 0 sees, or would see, what is `at` in the map.
    struct piece {
        std::size_t at;
        std::uint32_t seen;
    };

    /// Of no vectors yet.
    void begin(std::size_t stride, bool in_single_pixels) noexcept {
        stride_ = stride, n_vectors_ = n_pieces_ = 0, has_zeros_ = false;
        by_masks_ = PARE_HAS_MASKED_LOADS && stride <= 2 && !in_single_pixels;
    }
    /// The next vector sees these pieces, each of consecutive lanes or none.
    PARE_ALWAYS_INLINE void add_vector(auto&& each_piece) noexcept {
        piece last{0, 0};
        std::size_t n = n_pieces_;
        std::uint32_t seen = 0;
        const auto put = [&] {
            if (by_masks_ && stride_ == 2) last.seen = spread(last.seen);
            pieces_[n++] = last;
        };
        each_piece([&](const piece& p) {
            if (p.seen == 0) return;
            const bool joins = by_masks_ && last.at == p.at;
            if (last.seen != 0 && !joins) put(), last.seen = 0;
            last = {p.at, last.seen | p.seen};
            seen |= p.seen;
        });
        put();
        ends_[n_vectors_++] = n_pieces_ = n;
        has_zeros_ |= seen != (std::uint32_t{1} << lanes) - 1;
    }

    /// to[i] = what pixel i sees of a channel's map, for i below n, which the vectors hold.
    void copy(const float* map, float* to, std::size_t n) const noexcept {
#if PARE_HAS_MASKED_LOADS
        if (by_masks_ && stride_ == 1)
            return load_pieces(
                to, n, [&](const piece& p) { return simd::load_where(p.seen, place(map, p.at)); });
        if (by_masks_)
            return load_pieces(to, n, [&](const piece& p) {
                return simd::even_of(simd::load_where(p.seen, place(map, p.at)),
                                     simd::load_where(p.seen >> lanes, place(map, p.at + lanes)));
            });
#endif
        if (has_zeros_) fill_zeros(to, n);
        for (std::size_t v = 0, i = 0; v < n_vectors_; ++v, to += lanes)
            for (; i < ends_[v]; ++i) {
                const auto [at, seen] = pieces_[i];
                if (seen == 0) continue;
                const auto lane = static_cast<std::size_t>(std::countr_zero(seen));
                const auto some = static_cast<std::size_t>(std::bit_width(seen >> lane));
                const float* const from = place(map, at + lane * stride_);
                if (some == 1) to[lane] = *from;
                else copy_every(stride_, from, some, to + lane);
            }
    }

  private:
    // Bit i moves to 2 i: of two vectors of floats, every other one is seen.
    static std::uint32_t spread(std::uint32_t bits) noexcept {
        bits = (bits | bits << 8) & 0x00ff00ffu;
        bits = (bits | bits << 4) & 0x0f0f0f0fu;
        bits = (bits | bits << 2) & 0x33333333u;
        return (bits | bits << 1) & 0x55555555u;
    }
#if PARE_HAS_MASKED_LOADS
    PARE_ALWAYS_INLINE void load_pieces(float* to, std::size_t n, auto&& load) const noexcept {
        const std::size_t whole = n / lanes;
        if (n_pieces_ == whole && n_vectors_ == whole) {  // one each
            const auto put = [&](std::size_t v) PARE_ALWAYS_INLINE_LAMBDA {
                load(pieces_[v]).store_unaligned(to + v * lanes);
            };
            std::size_t v = 0;
            for (; v + 4 <= whole; v += 4) PARE_UNROLL
            for (std::size_t i = 0; i < 4; ++i) put(v + i);
            for (; v < whole; ++v) put(v);
            return;
        }
        for (std::size_t v = 0, i = 0; v < n_vectors_; ++v) {
            simd::vecf seen = load(pieces_[i]);
            while (++i < ends_[v]) seen = seen | load(pieces_[i]);
            if (v < whole) {
                seen.store_unaligned(to + v * lanes);
                continue;
            }
            alignas(64) std::array<float, lanes> last;
            seen.store_aligned(last.data());
            copy_floats(last.data(), n % lanes, to + v * lanes);
        }
    }
#endif

    std::size_t stride_, n_vectors_, n_pieces_;
    bool by_masks_, has_zeros_;
    std::array<std::size_t, max_vectors> ends_;  // (vectors) of their pieces
    std::array<piece, max_pixels> pieces_;       // at most one for each pixel
};

}  // namespace detail
}  // namespace pare::kernel::inline PARE_ARCH_NAMESPACE

#endif  // PARE_KERNEL_TAP_VIEW_HPP
