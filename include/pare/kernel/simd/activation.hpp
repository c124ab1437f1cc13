// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KERNEL_SIMD_ACTIVATION_HPP
#define PARE_KERNEL_SIMD_ACTIVATION_HPP

#include "../epilogue.hpp"
#include "vec.hpp"

#if PARE_HAS_SIMD
namespace pare::simd::inline PARE_ARCH_NAMESPACE {

/// kernel::activation of every element. Of a NaN and another, min and max give the second.
inline vecf activate(kernel::activation by, vecf x) noexcept {
    if (by == kernel::activation::none) return x;
    if (by == kernel::activation::relu6) x = xsimd::min(vecf(6.0f), x);
    return xsimd::max(vecf(0.0f), x);
}

}  // namespace pare::simd::inline PARE_ARCH_NAMESPACE
#endif

#endif  // PARE_KERNEL_SIMD_ACTIVATION_HPP
