// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KERNEL_SIMD_EXP_HPP
#define PARE_KERNEL_SIMD_EXP_HPP

#include "vec.hpp"

#if PARE_HAS_SIMD
namespace pare::simd::inline PARE_ARCH_NAMESPACE {

/// e^x for x <= 0, to 2 units in the last place; below -87 it stays at e^-87, which is 1.6e-38.
inline vecf exp_of_negative(vecf x) noexcept {
    x = xsimd::max(x, vecf(-87.0f));
#if defined(__AVX512F__)
    const vecf n = _mm512_roundscale_ps(x * vecf(1.44269504f), 0);
#else
    const veci exponent = nearest(x * vecf(1.44269504f));
    const vecf n = to_floats(exponent);
#endif
    // x - n ln 2 in two steps, then Cephes' polynomial of degree 6 on [-ln 2 / 2, ln 2 / 2].
    vecf r = fma(n, vecf(-0.693359375f), x);
    r = fma(n, vecf(2.12194440e-4f), r);
    vecf p(1.9875691500e-4f);
    p = fma(p, r, vecf(1.3981999507e-3f));
    p = fma(p, r, vecf(8.3334519073e-3f));
    p = fma(p, r, vecf(4.1665795894e-2f));
    p = fma(p, r, vecf(1.6666665459e-1f));
    p = fma(p, r, vecf(5.0000001201e-1f));
    p = fma(p, r * r, r) + vecf(1.0f);
#if defined(__AVX512F__)
    return _mm512_scalef_ps(p, n);
#else
    return from_bits(as_bits(p) + (exponent << 23));
#endif
}

/// The same, but 0 below -87.
inline vecf exp_or_zero(vecf x) noexcept {
#if defined(__AVX512F__)
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, vecf(-87.0f), _CMP_GE_OQ), exp_of_negative(x));
#else
    const veci keep = (as_bits(x + vecf(87.0f)) >> 31) - veci(1u);  // all ones unless negative
    return from_bits(as_bits(exp_of_negative(x)) & keep);
#endif
}

}  // namespace pare::simd::inline PARE_ARCH_NAMESPACE
#endif

#endif  // PARE_KERNEL_SIMD_EXP_HPP
