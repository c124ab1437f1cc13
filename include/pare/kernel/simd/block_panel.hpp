// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KERNEL_SIMD_BLOCK_PANEL_HPP
#define PARE_KERNEL_SIMD_BLOCK_PANEL_HPP

#include "../../packed/block.hpp"
#include "narrow.hpp"
#include "vec.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#if PARE_HAS_SIMD
namespace pare::simd::inline PARE_ARCH_NAMESPACE {

/// A panel of activations, panel[c * Tokens + t], the columns of a band.
template <std::size_t Tokens>
struct panel_columns {
    const float* panel;

    PARE_ALWAYS_INLINE const float* at(std::size_t column, std::size_t vec) const noexcept {
        return panel + column * Tokens + vec * lanes;
    }
};

/// Tokens in lanes: blocks times the activations of a band, of which x.at(column, v) is where the
/// v-th vector of tokens of a column begins. Sums of a window of B rows stay in registers, the one
/// of row R in that of slot R mod B; a block adds to all of them, and when blocks begin a row
/// further down one row's sums are done and another's take their place (Lee and Shin,
/// arXiv:2407.19644). Where registers do not hold them all, passes over slots and tokens follow
/// each other while the weights are near.
template <class Layout, std::size_t Tokens>
class block_panel {
    using T = typename Layout::value_type;
    static constexpr std::size_t B = Layout::block_rows;
    static constexpr std::size_t vecs = Tokens / lanes < 2 ? Tokens / lanes : 2;
    static constexpr std::size_t most_slots = (vector_registers == 32 ? 16 : 8) / vecs;
    static constexpr std::size_t slots = B < most_slots ? B : most_slots;
    static constexpr std::size_t n_passes = Tokens / lanes / vecs * (B / slots);
    static constexpr std::size_t near_bytes = 64 * 1024;          // of weights between passes
    static constexpr std::size_t share = (B - 1) / n_passes + 1;  // of a block, asked for by each

  public:
    /// Where rows [first_row, end_row) are summed: row r of Tokens tokens at to + (r - first_row) *
    /// stride.
    struct row_sums {
        std::size_t first_row, end_row;
        float* to;
        std::size_t stride;

        bool has(std::size_t r) const noexcept { return first_row <= r && r < end_row; }
        float* at(std::size_t r) const noexcept { return to + (r - first_row) * stride; }
    };

    /// Adds a band's products.
    static void add(const Layout& w, std::size_t band, const auto& x,
                    const row_sums& sums) noexcept {
        std::size_t row = sums.first_row < B ? 0 : sums.first_row - B + 1;
        while (row < sums.end_row) {
            std::size_t end = sums.end_row;
            if constexpr (n_passes > 1) {
                const std::size_t limit = w.first(band, row) + near_bytes / (B * sizeof(T));
                for (end = row + 1; end < sums.end_row && w.first(band, end + 1) <= limit;) ++end;
            }
            const std::size_t begin = w.first(band, row), n = w.first(band, end) - begin;
            // Each pass asks for its share of what all of them want next.
            std::size_t next = n_passes == 1 ? begin * B + 4096 / sizeof(T) : (begin + n) * B;
            for (std::size_t t = 0; t < Tokens; t += vecs * lanes)
                [&]<std::size_t... S>(std::index_sequence<S...>) {
                    ((pass<S * slots>(w, band, row, end, x, sums, t, next), next += n * share),
                     ...);
                }
            (std::make_index_sequence<B / slots>{});
            row = end;
        }
    }

  private:
    using vec_sums = std::array<vecf, vecs>;

    // The slots [First, First + slots) of the blocks that begin in the rows [begin, end). Meanwhile
    // asks for weights from values[next] on: they come in order, but the hardware does not look
    // beyond a page.
    template <std::size_t First>
    static void pass(const Layout& w, std::size_t band, std::size_t begin, std::size_t end,
                     const auto x, const row_sums& sums, std::size_t token,
                     std::size_t next) noexcept {
        std::array<vec_sums, slots> window;
        const auto fetch = [&](std::size_t s, std::size_t r) PARE_ALWAYS_INLINE_LAMBDA {
            const bool there = sums.has(r);
            PARE_UNROLL
            for (std::size_t v = 0; v < vecs; ++v)
                window[s][v] =
                    there ? vecf::load_unaligned(sums.at(r) + token + v * lanes) : vecf(0.0f);
        };
        const auto leave = [&](std::size_t s, std::size_t r) PARE_ALWAYS_INLINE_LAMBDA {
            if (!sums.has(r)) return;
            PARE_UNROLL
            for (std::size_t v = 0; v < vecs; ++v)
                window[s][v].store_unaligned(sums.at(r) + token + v * lanes);
        };
        // The row that a slot has when the window begins at a row.
        const auto row_of = [](std::size_t s, std::size_t from) {
            return from + (B + First + s - from % B) % B;
        };
        const auto each_slot = [&](auto visit) PARE_ALWAYS_INLINE_LAMBDA {
            [&]<std::size_t... S>(std::index_sequence<S...>) PARE_ALWAYS_INLINE_LAMBDA {
                (visit(S), ...);
            }
            (std::make_index_sequence<slots>{});
        };
        std::size_t i = w.first(band, begin);
        const auto add_until = [&](std::size_t row) PARE_ALWAYS_INLINE_LAMBDA {
            for (const std::size_t stop = w.first(band, row < end ? row : end); i < stop;
                 ++i, next += share) {
                prefetch(w.values, next * sizeof(T));
                add_block<First>(w, i, x, token / lanes, window);
            }
        };
        each_slot([&](std::size_t s) PARE_ALWAYS_INLINE_LAMBDA { fetch(s, row_of(s, begin)); });
        for (std::size_t group = begin / B * B; group < end; group += B) {
            if constexpr (First > 0) add_until(group + First);
            each_slot([&](std::size_t s) PARE_ALWAYS_INLINE_LAMBDA {
                const std::size_t r = group + First + s;
                if (r < begin || r >= end) return;
                add_until(r + 1);
                leave(s, r);
                fetch(s, r + B);
            });
            if constexpr (First + slots < B) add_until(group + B);
        }
        each_slot([&](std::size_t s) PARE_ALWAYS_INLINE_LAMBDA { leave(s, row_of(s, end)); });
    }

    template <std::size_t First>
    PARE_ALWAYS_INLINE static void add_block(const Layout& w, std::size_t i, const auto& x,
                                             std::size_t first_vec,
                                             std::array<vec_sums, slots>& window) noexcept {
        const T* const values = w.values + i * B;
        std::uint16_t column;
        std::memcpy(&column, reinterpret_cast<const char*>(w.columns) + 2 * i, sizeof(column));
        vec_sums tokens;
        PARE_UNROLL
        for (std::size_t v = 0; v < vecs; ++v)
            tokens[v] = vecf::load_unaligned(x.at(column, first_vec + v));
        PARE_UNROLL
        for (std::size_t s = 0; s < slots; s += 4) {
            const std::array<vecf, 4> weights = broadcast_four(values + First + s);
            PARE_UNROLL
            for (std::size_t q = 0; q < 4; ++q) PARE_UNROLL
            for (std::size_t v = 0; v < vecs; ++v)
                window[s + q][v] = fma(weights[q], tokens[v], window[s + q][v]);
        }
    }
};

}  // namespace pare::simd::inline PARE_ARCH_NAMESPACE
#endif

#endif  // PARE_KERNEL_SIMD_BLOCK_PANEL_HPP
