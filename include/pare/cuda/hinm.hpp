// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_CUDA_HINM_HPP
#define PARE_CUDA_HINM_HPP

#include "../core/config.hpp"
#include "../core/dtype.hpp"
#include "mma_sp.hpp"

#include <cstddef>
#include <cstdint>

namespace pare::cuda {

/// Columns of the compact matrix are padded to slabs of as many: two instructions deep.
inline constexpr std::size_t slab_depth = 2 * mma_sp::depth;
/// In place of an input feature: a compact column of zeros, for which nothing is read.
inline constexpr std::uint32_t no_column = 0xffffffff;

/// What the size of hinm weights for a GPU depends on.
struct hinm_shape {
    std::size_t rows = 0;        ///< output channels
    std::size_t cols = 0;        ///< input features
    std::size_t tile_rows = 32;  ///< V: 32, 64 or 128 rows that share their columns
    std::size_t n_slabs = 0;     ///< of a tile's compact columns
    bool in_place = true;        ///< place i is row i

    PARE_HOST_DEVICE constexpr std::size_t n_tiles() const noexcept {
        return (rows + tile_rows - 1) / tile_rows;
    }
    constexpr std::size_t n_values() const noexcept {
        return n_tiles() * n_slabs * tile_rows * slab_depth / 2;
    }
    /// Words of metadata, columns and outputs, in this order.
    constexpr std::size_t n_words() const noexcept {
        return n_metadata() + n_columns() + (in_place ? 0 : rows);
    }
    constexpr std::size_t n_metadata() const noexcept {
        return n_tiles() * n_slabs * tile_rows * slab_depth / 2 / 16;
    }
    constexpr std::size_t n_columns() const noexcept { return n_tiles() * n_slabs * slab_depth; }

    friend constexpr bool operator==(const hinm_shape&, const hinm_shape&) = default;
};

/// Hierarchical 2:4 weights as the sparse tensor cores of sm_80 and later take them: every lane of
/// a warp finds its operands side by side, and gathers activations through the columns of its tile,
/// whatever their order (Yu et al., arXiv:2407.20496; VENOM, arXiv:2310.02065). Over memory of the
/// caller's, on the host or, moved by over(), on a device; docs/formats.md has the bytes.
template <half_storage T>
struct hinm : hinm_shape {
    using value_type = T;

    const T* values = nullptr;                ///< (n_tiles, n_slabs, 2, V / 16, 32, 8)
    const std::uint32_t* metadata = nullptr;  ///< (n_tiles, n_slabs, V / 32, 32, 2)
    const std::uint32_t* columns = nullptr;   ///< (n_tiles, n_slabs, 64) or no_column
    const std::uint32_t* outputs = nullptr;   ///< (rows) row at each place; unless in_place

    constexpr std::size_t required_bytes() const noexcept {
        return n_values() * sizeof(T) + n_words() * sizeof(std::uint32_t);
    }
    constexpr const hinm& view() const noexcept { return *this; }
    /// The same over other memory: n_values() and n_words() elements, as pack() fills them.
    constexpr hinm over(const T* all_values, const std::uint32_t* words) const noexcept {
        hinm moved = *this;
        moved.values = all_values;
        moved.metadata = words;
        moved.columns = words + n_metadata();
        moved.outputs = in_place ? nullptr : moved.columns + n_columns();
        return moved;
    }

    struct word_bits {
        std::size_t word;
        int shift;
    };
    /// Where slot s, of 32 a slab, of a place lies.
    PARE_ALWAYS_INLINE constexpr std::size_t value_at(std::size_t place,
                                                      std::size_t s) const noexcept {
        const std::size_t row = place % tile_rows, step = s / mma_sp::slots;
        const auto at =
            mma_sp::a(static_cast<int>(row % mma_sp::rows), static_cast<int>(s % mma_sp::slots));
        const std::size_t fragment =
            (place / tile_rows * 2 * n_slabs + step) * (tile_rows / mma_sp::rows) +
            row / mma_sp::rows;
        return (fragment * mma_sp::lanes + static_cast<std::size_t>(at.lane)) * mma_sp::a_elements +
               static_cast<std::size_t>(at.element);
    }
    PARE_ALWAYS_INLINE constexpr word_bits metadata_at(std::size_t place,
                                                       std::size_t s) const noexcept {
        const std::size_t row = place % tile_rows, slab = s / mma_sp::slots / 2;
        const auto at =
            mma_sp::metadata(static_cast<int>(row % 32), static_cast<int>(s % mma_sp::slots));
        const std::size_t fragment =
            (place / tile_rows * n_slabs + slab) * (tile_rows / 32) + row / 32;
        return {(fragment * mma_sp::lanes + static_cast<std::size_t>(at.lane)) * 2 +
                    s / mma_sp::slots % 2,
                at.shift};
    }

    PARE_ALWAYS_INLINE constexpr std::size_t output(std::size_t i) const noexcept {
        PARE_ASSERT(i < rows, "index out of range");
        return in_place ? i : outputs[i];
    }
    constexpr void for_each_weight(std::size_t i, auto&& visit) const noexcept {
        const std::uint32_t* const tile = columns + i / tile_rows * n_slabs * slab_depth;
        for (std::size_t s = 0; s < n_slabs * slab_depth / 2; ++s) {
            const word_bits at = metadata_at(i, s);
            const std::uint32_t column = tile[s / 2 * 4 + (metadata[at.word] >> at.shift & 3u)];
            if (column != no_column) visit(std::size_t{column}, values[value_at(i, s)]);
        }
    }
};

}  // namespace pare::cuda

#endif  // PARE_CUDA_HINM_HPP
