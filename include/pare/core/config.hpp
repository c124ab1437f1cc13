// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_CORE_CONFIG_HPP
#define PARE_CORE_CONFIG_HPP

// The library's only configuration:
//   PARE_NO_XSIMD           define it to build without xsimd: every kernel is then its scalar twin.
//   PARE_ASSERT(cond, why)  precondition check; define it before inclusion to replace it.
//                           By default it is assert() when PARE_CHECKED is defined, else nothing.
//   PARE_ARCH_NAMESPACE     set here, never by the user: the inline namespace of all generated
//   code.

#ifndef PARE_ASSERT
#ifdef PARE_CHECKED
#include <cassert>
#define PARE_ASSERT(condition, why) assert((condition) && (why))
#else
#define PARE_ASSERT(condition, why) static_cast<void>(0)
#endif
#endif

// For members of plain data types, which lie outside that namespace: no copy of their own to merge.
#if defined(__GNUC__) || defined(__clang__)
#define PARE_ALWAYS_INLINE [[gnu::always_inline]]
// After the parameters of a lambda of a hot loop: a call would put its registers into memory.
#define PARE_ALWAYS_INLINE_LAMBDA __attribute__((always_inline))
// Of a hot loop that wants the registers for itself.
#define PARE_NEVER_INLINE [[gnu::noinline]]
#else
#define PARE_ALWAYS_INLINE
#define PARE_NEVER_INLINE
#define PARE_ALWAYS_INLINE_LAMBDA
#endif

// Two translation units built with different -m flags may be linked into one program. Everything
// that generates code therefore lives in an inline namespace named after the flags that change it,
// so that the linker can never give a baseline caller the wide copy of a shared inline function.
#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
#define PARE_ARCH_BASE avx512
#elif defined(__AVX512F__)
#define PARE_ARCH_BASE avx512f
#elif defined(__AVX2__)
#define PARE_ARCH_BASE avx2
#elif defined(__AVX__)
#define PARE_ARCH_BASE avx
#elif defined(__SSE4_2__)
#define PARE_ARCH_BASE sse42
#elif defined(__SSE4_1__)
#define PARE_ARCH_BASE sse41
#elif defined(__SSSE3__)
#define PARE_ARCH_BASE ssse3
#elif defined(__SSE2__)
#define PARE_ARCH_BASE sse2
#elif defined(__aarch64__)
#define PARE_ARCH_BASE neon64
#else
#define PARE_ARCH_BASE generic
#endif

#if defined(__BMI2__)
#define PARE_ARCH_BITS _bmi2
#elif defined(__LZCNT__)
#define PARE_ARCH_BITS _lzcnt
#elif defined(__POPCNT__)
#define PARE_ARCH_BITS _popcnt
#elif defined(__ARM_FEATURE_SVE)
#define PARE_ARCH_BITS _sve
#elif defined(__ARM_FEATURE_ATOMICS)
#define PARE_ARCH_BITS _lse
#else
#define PARE_ARCH_BITS
#endif
#ifdef __FMA__
#define PARE_ARCH_FMA _fma
#else
#define PARE_ARCH_FMA
#endif
#ifdef __F16C__
#define PARE_ARCH_F16C _f16c
#else
#define PARE_ARCH_F16C
#endif
#if defined(__AVX512VNNI__)
#define PARE_ARCH_DOT _vnni512
#elif defined(__AVXVNNI__)
#define PARE_ARCH_DOT _vnni
#elif defined(__ARM_FEATURE_MATMUL_INT8)
#define PARE_ARCH_DOT _i8mm
#elif defined(__ARM_FEATURE_DOTPROD)
#define PARE_ARCH_DOT _dot
#else
#define PARE_ARCH_DOT
#endif
#if defined(__FAST_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__)
#define PARE_ARCH_MATH _fastmath
#else
#define PARE_ARCH_MATH
#endif
#ifdef PARE_NO_XSIMD
#define PARE_ARCH_SIMD _scalar
#else
#define PARE_ARCH_SIMD
#endif

#define PARE_ARCH_JOIN_(a, b, c, d, e, f, g) arch_##a##b##c##d##e##f##g
#define PARE_ARCH_JOIN(a, b, c, d, e, f, g) PARE_ARCH_JOIN_(a, b, c, d, e, f, g)
#define PARE_ARCH_NAMESPACE                                                                      \
    PARE_ARCH_JOIN(PARE_ARCH_BASE, PARE_ARCH_BITS, PARE_ARCH_FMA, PARE_ARCH_F16C, PARE_ARCH_DOT, \
                   PARE_ARCH_MATH, PARE_ARCH_SIMD)

#endif  // PARE_CORE_CONFIG_HPP
