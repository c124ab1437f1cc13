// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KERNEL_INTEGER_REFERENCE_HPP
#define PARE_KERNEL_INTEGER_REFERENCE_HPP

#include "../packed/hinm.hpp"
#include "../packed/n_m.hpp"
#include "epilogue.hpp"
#include "quantised_tokens.hpp"

#include <cstddef>
#include <cstdint>

namespace pare::kernel::inline PARE_ARCH_NAMESPACE {

/// N:M, dense or hinm weights that are whole numbers.
template <class W>
concept integer_weights = (packed::n_m_weights<W> || packed::hinm_weights<W>)&&packed::
    is_coded<typename packed::layout_of<W>::value_type>&& integer_code<
        typename packed::layout_of<W>::value_type::code>;

namespace detail {

// The sum over the groups of a row of scale * (sum of (number - zero) * code(column)), the inner
// one exact.
template <packed::n_m_weights Layout>
float integer_row_ref(const Layout& w, std::size_t row, auto&& code) noexcept {
    using T = typename Layout::value_type;
    const std::size_t group = T::group == 0 ? w.steps() : T::group;
    float sum = 0.0f;
    for (std::size_t begin = 0; begin < w.steps(); begin += group) {
        const std::size_t end = w.steps() - begin < group ? w.steps() : begin + group;
        const packed::grid of = w.grid_of(row, begin / group);
        std::int64_t whole = 0;  // of 32 bits, gcc 12 makes wrong products of bytes of it
        for (std::size_t s = begin; s < end; ++s)
            whole += (T::code::number(w.code(row, s)) - of.zero) * code(w.column(row, s));
        sum += of.scale * static_cast<float>(whole);
    }
    return sum;
}

}  // namespace detail

/// The scalar twin of gemm over quantised tokens: integer sums are the same bit for bit, floats may
/// be rounded once where this rounds twice. y (tokens, out_features); output channels output(i), i
/// in [first, end). @pre shapes agree
template <integer_weights Layout>
void gemm_ref(const Layout& w, std::size_t first, std::size_t end, const quantised_tokens& x,
              matrix_view<float> y, const epilogue& after = {}) noexcept {
    for (std::size_t t = 0; t < x.tokens; ++t)
        for (std::size_t i = first; i < end; ++i) {
            const std::int8_t* codes = x.token(t);
            float sum = 0.0f;
            if constexpr (packed::hinm_weights<Layout>) {
                const std::size_t at = w.compact_row(i), tile = i / w.tile_rows;
                const auto code = [&](std::size_t c) { return codes[w.tile_column(tile, c)]; };
                if (w.dense > 0) sum = detail::integer_row_ref(w.compact_dense(), at, code);
                sum += detail::integer_row_ref(w.compact_grouped(), at,
                                               [&](std::size_t c) { return code(w.dense + c); });
            } else {
                sum = detail::integer_row_ref(w, i, [&](std::size_t c) { return codes[c]; });
            }
            const std::size_t r = w.output(i);
            y(t, r) = finish(after, r, sum * x.scales[t]);
        }
}

}  // namespace pare::kernel::inline PARE_ARCH_NAMESPACE

#endif  // PARE_KERNEL_INTEGER_REFERENCE_HPP
