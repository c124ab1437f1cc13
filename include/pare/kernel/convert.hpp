// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KERNEL_CONVERT_HPP
#define PARE_KERNEL_CONVERT_HPP

#include "../core/dtype.hpp"
#include "../core/status.hpp"
#include "simd/vec.hpp"

#include <cstddef>
#include <span>

namespace pare::kernel::inline PARE_ARCH_NAMESPACE {

/// Copies stored floats to f32, exactly, with the conversion instructions of the machine where it
/// has them. @return shape_mismatch when the lengths differ
template <float_storage T>
status convert(std::span<const T> from, std::span<float> to) noexcept {
    if (from.size() != to.size())
        return error{errc::shape_mismatch, "convert: source and destination differ in length"};
    std::size_t i = 0;
#if PARE_HAS_SIMD
    for (; i + simd::lanes <= from.size(); i += simd::lanes)
        simd::load(&from[i]).store_unaligned(&to[i]);
#endif
    for (; i < from.size(); ++i) to[i] = to_float(from[i]);
    return {};
}

/// Rounds f32 to a stored type as from_float() does, bit for bit.
/// @return shape_mismatch when the lengths differ
template <half_storage T>
status convert(std::span<const float> from, std::span<T> to) noexcept {
    if (from.size() != to.size())
        return error{errc::shape_mismatch, "convert: source and destination differ in length"};
    std::size_t i = 0;
#if PARE_HAS_SIMD
    for (; i + simd::lanes <= from.size(); i += simd::lanes)
        simd::store(simd::load(&from[i]), &to[i]);
#endif
    for (; i < from.size(); ++i) to[i] = from_float<T>(from[i]);
    return {};
}

}  // namespace pare::kernel::inline PARE_ARCH_NAMESPACE

#endif  // PARE_KERNEL_CONVERT_HPP
