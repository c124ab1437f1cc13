// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PACKED_UNPACK_HPP
#define PARE_PACKED_UNPACK_HPP

#include "../core/status.hpp"
#include "../core/tensor_view.hpp"
#include "concepts.hpp"

#include <cstddef>

namespace pare::packed::inline PARE_ARCH_NAMESPACE {

/// Writes the dense (rows, cols) matrix that packed weights stand for.
template <layout Layout>
status unpack(const Layout& packed, matrix_view<float> weights) noexcept {
    if (weights.rows() != packed.rows || weights.cols() != packed.cols)
        return error{errc::shape_mismatch, "unpack: the destination has another shape"};
    for (std::size_t i = 0; i < packed.rows; ++i) {
        const std::size_t row = packed.output(i);
        for (std::size_t c = 0; c < packed.cols; ++c) weights(row, c) = 0.0f;
        packed.for_each_weight(
            i, [&](std::size_t c, auto weight) { weights(row, c) = to_float(weight); });
    }
    return {};
}

}  // namespace pare::packed::inline PARE_ARCH_NAMESPACE

#endif  // PARE_PACKED_UNPACK_HPP
