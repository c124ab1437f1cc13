// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PACKED_PACK_ROW_HPP
#define PARE_PACKED_PACK_ROW_HPP

#include "../core/buffer.hpp"
#include "../core/status.hpp"
#include "../core/tensor_view.hpp"
#include "../prune/mask.hpp"
#include "concepts.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

// Writing one row of an N:M layout, of which others are made.

namespace pare::packed::inline PARE_ARCH_NAMESPACE {
namespace detail {

inline constexpr error not_storable{errc::not_a_number,
                                    "a kept weight is NaN, infinite or too large for its type"};

/// A codec whose scale is that of the whole matrix.
template <class Codec>
concept of_whole_tensor = requires {
    requires Codec::whole_tensor;
};

/// The one grid of a matrix, as a codec.
template <class T>
struct fixed_grid {
    using value_type = T;
    grid of;

    constexpr grid fit(std::span<const float> /*weights*/) const noexcept { return of; }
};

/// pack(codec) with the grid that fits all kept weights. @return also out_of_memory
template <of_whole_tensor Codec>
auto pack_with_tensor_grid(matrix_view<const float> weights, prune::const_mask_view kept,
                           const Codec& codec, auto&& pack) noexcept
    -> decltype(pack(fixed_grid<typename Codec::value_type>{})) {
    auto all = buffer<float>::make(kept.count());
    if (!all) return all.error();
    std::size_t n = 0;
    for (std::size_t r = 0; r < weights.rows(); ++r)
        for (std::size_t c = 0; c < weights.cols(); ++c)
            if (kept(r, c)) all->data()[n++] = weights(r, c);
    return pack(fixed_grid<typename Codec::value_type>{codec.fit({all->data(), n})});
}

/// The grid of some weights, into its place and as it is read from there; their codes are
/// encode(weight, grid).
template <class Codec>
status fit_grid(const Codec& codec, std::span<const float> weights, std::size_t group,
                std::uint32_t& word, grid& fitted) noexcept {
    using T = typename Codec::value_type;
    for (const float w : weights)
        if (!is_finite(w)) return not_storable;
    fitted = codec.fit(weights);
    constexpr float most_steps = 2.0f * T::code::largest + 1.0f;  // from a zero point
    if (!T::is_sound(fitted) || !is_finite(most_steps * fitted.scale)) return not_storable;
    word = T::with_grid(word, group, fitted);
    fitted = T::read_grid(word, group);
    return {};
}

// The columns a group stores, ascending: the kept ones and, where a mask keeps fewer than the
// group has slots, the first others (their value will be zero). False when too many are kept.
inline bool stored_columns(std::array<bool, 32>& kept, std::size_t length,
                           std::size_t slots) noexcept {
    std::size_t n = 0;
    for (std::size_t c = 0; c < length; ++c) n += kept[c];
    if (n > slots) return false;
    for (std::size_t c = 0; c < length && n < slots; ++c)
        if (!kept[c]) n += kept[c] = true;
    return true;
}

template <class Layout>
void write_index(std::uint32_t* indices, std::size_t cols, std::size_t row, std::size_t step,
                 std::size_t index) noexcept {
    const std::size_t bit = step * Layout::index_bits, shift = bit % 32;
    std::uint32_t* word = indices +
                          (row / tile_rows * Layout::index_words(cols) + bit / 32) * tile_rows +
                          row % tile_rows;
    const std::uint64_t bits = std::uint64_t{index} << shift;
    *word |= static_cast<std::uint32_t>(bits);
    if (shift + Layout::index_bits > 32) word[tile_rows] |= static_cast<std::uint32_t>(bits >> 32);
}

/// Writes the indices of a row and calls store(step, column) for its slots that hold a kept weight.
template <class Layout>
status place_row(std::size_t row, std::size_t cols, auto&& kept, std::uint32_t* indices,
                 auto&& store) noexcept {
    for (std::size_t begin = 0, step = 0; begin < cols; begin += Layout::m) {
        const std::size_t length = cols - begin < Layout::m ? cols - begin : Layout::m;
        std::array<bool, 32> stored{};
        for (std::size_t c = 0; c < length; ++c) stored[c] = kept(begin + c);
        if (!stored_columns(stored, length, length < Layout::n ? length : Layout::n))
            return error{errc::pattern_violated, "a group keeps more than N weights"};
        for (std::size_t c = 0; c < length; ++c) {
            if (!stored[c]) continue;
            if (kept(begin + c)) store(step, begin + c);
            if constexpr (Layout::index_bits > 0) write_index<Layout>(indices, cols, row, step, c);
            ++step;
        }
    }
    return {};
}

/// Where a layout is written.
template <class Element>
struct packed_to {
    Element* values;
    std::uint32_t* indices;
    std::uint32_t* scales;
};

/// Writes a row of `cols` columns over zeroed memory: column c has the weight weight(c) where
/// kept(c). `slots` is scratch for the weights of a row of a coded type.
template <class Layout, class Codec>
status pack_row(std::size_t row, std::size_t cols, auto&& weight, auto&& kept, const Codec& codec,
                const packed_to<typename Layout::element_type>& to,
                std::span<float> slots) noexcept {
    using T = typename Layout::value_type;
    if constexpr (!is_coded<T>) {
        T* value = to.values + row / tile_rows * Layout::steps(cols) * tile_rows + row % tile_rows;
        status ok;
        const auto placed =
            place_row<Layout>(row, cols, kept, to.indices, [&](std::size_t step, std::size_t c) {
                const float w = weight(c);
                const auto code = codec.encode(w);
                if (!is_finite(w) || !is_finite(to_float(code))) ok = not_storable;
                value[step * tile_rows] = code;
            });
        return placed ? ok : placed;
    } else {
        const std::span<float> stored = slots.first(Layout::steps(cols));
        for (float& w : stored) w = 0.0f;
        if (auto ok = place_row<Layout>(
                row, cols, kept, to.indices,
                [&](std::size_t step, std::size_t c) { stored[step] = weight(c); });
            !ok)
            return ok;
        const std::size_t group = T::group == 0 ? stored.size() : T::group;
        for (std::size_t begin = 0, g = 0; begin < stored.size(); begin += group, ++g) {
            const std::size_t left = stored.size() - begin, n = left < group ? left : group;
            grid fitted;
            if (auto ok = fit_grid(codec, stored.subspan(begin, n), g,
                                   to.scales[Layout::scale_word(row, cols, g)], fitted);
                !ok)
                return ok;
            for (std::size_t s = begin; s < begin + n; ++s) {
                const auto at = Layout::place(row, cols, s);
                to.values[at.word] |= std::uint32_t{T::encode(stored[s], fitted)} << at.shift;
            }
        }
        return {};
    }
}

/// Whether the indices of a row name columns that exist and, where Ascending, ascend in a group.
template <class Layout>
bool row_is_valid(const Layout& packed, std::size_t row, bool ascending) noexcept {
    for (std::size_t s = 0; s < packed.steps(); ++s)
        if (packed.index(row, s) >= Layout::m || packed.column(row, s) >= packed.cols ||
            (ascending && s % Layout::n != 0 && packed.index(row, s) <= packed.index(row, s - 1)))
            return false;
    return true;
}

inline constexpr error bad_grid{errc::malformed_file, "a scale or a zero point is none"};

/// Whether all grids of a coded layout, padding included, are such that a kernel may use them.
template <class Layout>
status check_grids(const Layout& packed) noexcept {
    using T = typename Layout::value_type;
    const std::size_t groups = T::n_groups(packed.stored_steps(packed.cols));
    for (std::size_t r = 0; r < Layout::tiles(packed.rows) * tile_rows; ++r)
        for (std::size_t g = 0; g < groups; ++g)
            if (!T::is_sound(packed.grid_of(r, g))) return bad_grid;
    return {};
}

}  // namespace detail
}  // namespace pare::packed::inline PARE_ARCH_NAMESPACE

#endif  // PARE_PACKED_PACK_ROW_HPP
