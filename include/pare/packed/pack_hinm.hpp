// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PACKED_PACK_HINM_HPP
#define PARE_PACKED_PACK_HINM_HPP

#include "../core/buffer.hpp"
#include "../core/status.hpp"
#include "../core/tensor_view.hpp"
#include "../prune/hinm_order.hpp"
#include "../prune/mask.hpp"
#include "hinm.hpp"
#include "pack_row.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace pare::packed::inline PARE_ARCH_NAMESPACE {

inline hinm_shape shape_of(const prune::hinm_order& order) noexcept {
    bool in_place = true;
    for (std::size_t i = 0; i < order.rows(); ++i) in_place &= order.outputs()[i] == i;
    return {order.rows(), order.cols(), order.tile_rows(), order.kept(), order.dense(), in_place};
}

namespace detail {

template <class Layout, class Codec>
result<Layout> pack_in_order(Layout packed, matrix_view<const float> weights,
                             prune::const_mask_view kept, const prune::hinm_order& order,
                             const Codec& codec, std::span<typename Layout::element_type> values,
                             std::span<std::uint32_t> words) noexcept {
    auto slots = buffer<float>::make(is_coded<typename Codec::value_type> ? packed.kept : 0);
    if (!slots) return slots.error();
    for (auto& v : values) v = {};
    for (std::uint32_t& word : words) word = 0;

    std::uint32_t* const outputs = words.data() + Layout::list_words(packed);
    std::uint32_t* const columns = outputs + (packed.in_place ? 0 : packed.rows);
    packed = packed.over(values.data(), words.data());
    for (std::size_t i = 0; i < packed.rows && !packed.in_place; ++i)
        outputs[i] = order.outputs()[i];
    for (std::size_t t = 0; t < packed.n_tiles(); ++t)
        for (std::size_t c = 0; c < packed.kept; ++c)
            columns[t * packed.column_words() + c / 2] |= order.columns(t)[c] << (c % 2 * 16);

    for (std::size_t i = 0; i < packed.rows; ++i) {
        const std::size_t row = order.outputs()[i], at = packed.compact_row(i);
        const auto tile = order.columns(i / packed.tile_rows);
        std::size_t n_kept = 0;
        for (const std::uint32_t c : tile) n_kept += kept(row, c);
        if (n_kept != kept.count_row(row))
            return error{errc::pattern_violated, "a row keeps a column that its tile lacks", row};
        const auto pack_part = [&]<class Part>(const Part& part, auto columns_of_part) {
            return detail::pack_row<Part>(
                at, columns_of_part.size(),
                [&](std::size_t c) { return weights(row, columns_of_part[c]); },
                [&](std::size_t c) { return kept(row, columns_of_part[c]); }, codec,
                {values.data() + (part.values - packed.values), words.data(),
                 is_coded<typename Part::value_type> ? words.data() + (part.scales - packed.indices)
                                                     : nullptr},
                slots->span());
        };
        auto ok = pack_part(packed.compact_dense(), tile.first(packed.dense));
        if (ok) ok = pack_part(packed.compact_grouped(), tile.subspan(packed.dense));
        if (!ok) return error{ok.error().code, ok.error().message, row};
    }
    return packed;
}

}  // namespace detail

/// Writes the kept weights (rows, cols) in the given order into `values` and `words`, of exactly
/// n_values() and n_words() elements of shape_of(order), each weight passed through `codec`.
/// @return the layout over that memory; pattern_violated when a group keeps more than N or a row
/// keeps a column that its tile lacks, not_a_number for a kept weight that is NaN or infinite, as
/// given or as encoded, shape_mismatch, invalid_argument for a shape that hinm_shape cannot be,
/// buffer_too_small, out_of_memory. After the first two the memory holds nothing of use.
/// @pre order.check()
template <int N, int M, class Codec>
result<hinm<N, M, typename Codec::value_type>> pack(
    matrix_view<const float> weights, prune::const_mask_view kept, const prune::hinm_order& order,
    const Codec& codec, std::span<element_of<typename Codec::value_type>> values,
    std::span<std::uint32_t> words) noexcept {
    using layout = hinm<N, M, typename Codec::value_type>;
    layout packed{shape_of(order)};
    if (weights.rows() != packed.rows || weights.cols() != packed.cols ||
        kept.rows() != packed.rows || kept.cols() != packed.cols)
        return error{errc::shape_mismatch, "weights, mask and order differ in shape"};
    if (!packed.is_sound())
        return error{errc::invalid_argument,
                     "packed hinm keeps 1 to 65,536 columns, of tiles of at most 1024 rows"};
    if (values.size() != layout::n_values(packed) || words.size() != layout::n_words(packed))
        return error{errc::buffer_too_small, "pack: memory is not n_values and n_words long"};
    if constexpr (detail::of_whole_tensor<Codec>)
        return detail::pack_with_tensor_grid(weights, kept, codec, [&](const auto& fixed) {
            return pack<N, M>(weights, kept, order, fixed, values, words);
        });
    else return detail::pack_in_order<layout>(packed, weights, kept, order, codec, values, words);
}

}  // namespace pare::packed::inline PARE_ARCH_NAMESPACE

#endif  // PARE_PACKED_PACK_HINM_HPP
