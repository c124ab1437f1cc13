// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PRUNE_SEARCH_INPUT_HPP
#define PARE_PRUNE_SEARCH_INPUT_HPP

#include "../core/buffer.hpp"
#include "../core/dtype.hpp"
#include "../core/tensor_view.hpp"

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace pare::prune::inline PARE_ARCH_NAMESPACE::detail {

/// What a search reads: rows that lie side by side, of scores that are finite and not negative.
inline status check_saliency(matrix_view<const float> scores) noexcept {
    if (scores.col_stride() != 1)
        return error{errc::not_contiguous, "a search reads rows that are contiguous"};
    for (std::size_t r = 0; r < scores.rows(); ++r)
        for (const float x : scores.row_span(r)) {
            if (!is_finite(x))
                return error{errc::not_a_number, "a saliency score is NaN or infinite", r};
            if (x < 0.0f) return error{errc::invalid_argument, "a saliency score is negative", r};
        }
    return {};
}

/// A power of two that brings the largest score near 1, so that sums and squares stay finite, and
/// what is small does not vanish, whatever the unit of the saliency.
inline float unit_of(std::span<const matrix_view<const float>> layers) noexcept {
    std::uint32_t largest = 0;
    for (const auto& scores : layers)
        for (std::size_t r = 0; r < scores.rows(); ++r)
            for (std::size_t c = 0; c < scores.cols(); ++c) {
                const std::uint32_t bits = std::bit_cast<std::uint32_t>(scores(r, c)) & 0x7fffffffu;
                largest = bits > largest ? bits : largest;
            }
    const int exponent = static_cast<int>(largest >> 23) - 127;
    const int back = exponent > 100 ? -100 : exponent < -100 ? 100 : -exponent;
    return std::bit_cast<float>(static_cast<std::uint32_t>(127 + back) << 23);
}

/// Makes one of several arrays; whether all of those so far could be made is in `ok`.
template <class T>
void make_array(buffer<T>& array, std::size_t size, bool& ok) noexcept {
    auto made = buffer<T>::make(size);
    ok = ok && made;
    if (made) array = *std::move(made);
}

}  // namespace pare::prune::inline PARE_ARCH_NAMESPACE::detail

#endif  // PARE_PRUNE_SEARCH_INPUT_HPP
