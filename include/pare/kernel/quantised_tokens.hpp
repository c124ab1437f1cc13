// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KERNEL_QUANTISED_TOKENS_HPP
#define PARE_KERNEL_QUANTISED_TOKENS_HPP

#include "../core/dtype.hpp"
#include "../core/executor.hpp"
#include "../core/status.hpp"
#include "../core/tensor_view.hpp"
#include "simd/quantise_row.hpp"

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

namespace pare::kernel {

/// Activations (tokens, cols) as whole numbers, -127 to 127, and a scale for each token: x ~ scale
/// * code. A token with a NaN or infinity has a NaN for a scale, so its products are NaN.
struct quantised_tokens {
    std::size_t tokens = 0;
    std::size_t cols = 0;
    const std::int8_t* codes = nullptr;  ///< (tokens, stride(cols)), 0 beyond the columns
    const float* scales = nullptr;       ///< (tokens)

    /// Kernels read whole units of columns.
    static constexpr std::size_t stride(std::size_t cols) noexcept {
        return (cols + 127) / 128 * 128;
    }
    /// Of the memory that quantise() takes, however it is aligned.
    static constexpr std::size_t required_bytes(std::size_t tokens, std::size_t cols) noexcept {
        return tokens * (stride(cols) + sizeof(float)) + alignof(float) - 1;
    }
    constexpr const std::int8_t* token(std::size_t t) const noexcept {
        return codes + t * stride(cols);
    }
};

inline namespace PARE_ARCH_NAMESPACE {
namespace detail {

// Codes of token t; a column that no whole vector holds goes by itself, to the same code.
// @return its scale
inline float quantise_token(matrix_view<const float> x, std::size_t t,
                            std::int8_t* codes) noexcept {
    float largest = 0.0f;
    bool finite = true;
    std::size_t n = 0;  // columns that vectors take
#if PARE_HAS_SIMD
    if (x.col_stride() == 1) {
        n = x.cols() / simd::lanes * simd::lanes;
        largest = simd::largest_size(&x(t, 0), n);
        finite = is_finite(largest);
    }
#endif
    for (std::size_t c = n; c < x.cols(); ++c) {
        const float size =
            std::bit_cast<float>(std::bit_cast<std::uint32_t>(x(t, c)) & 0x7fffffffu);
        finite = finite && is_finite(size);
        largest = size > largest ? size : largest;
    }
    // The inverse of what is smaller would be infinite.
    const bool is_nothing = !finite || largest < 1e-33f;
    const float inverse = is_nothing ? 0.0f : 127.0f / largest;
#if PARE_HAS_SIMD
    if (finite && n > 0) simd::nearest_bytes(&x(t, 0), n, inverse, codes);
#endif
    for (std::size_t c = finite ? n : 0; c < x.cols(); ++c)
        codes[c] = finite ? static_cast<std::int8_t>(std::lrint(x(t, c) * inverse)) : 0;
    for (std::size_t c = x.cols(); c < quantised_tokens::stride(x.cols()); ++c) codes[c] = 0;
    if (!finite) return std::bit_cast<float>(0x7fc00000u);
    return is_nothing ? 0.0f : largest / 127.0f;
}

}  // namespace detail

/// Quantises each token of x (tokens, cols), any strides, by its largest size: symmetric, to
/// nearest even. `memory` must outlive the result.
/// @return buffer_too_small when memory has not required_bytes()
template <executor Executor = serial>
result<quantised_tokens> quantise(matrix_view<const float> x, std::span<std::byte> memory,
                                  Executor&& run = {}) noexcept {
    quantised_tokens made{x.rows(), x.cols()};
    if (memory.size() < made.required_bytes(x.rows(), x.cols()))
        return error{errc::buffer_too_small, "quantise: memory is not required_bytes() long"};
    const auto address = reinterpret_cast<std::uintptr_t>(memory.data());
    auto* scales =
        reinterpret_cast<float*>(memory.data() + (alignof(float) - address) % alignof(float));
    auto* codes = reinterpret_cast<std::int8_t*>(scales + x.rows());
    run.parallel_for(x.rows(), 1, [&](std::size_t t, std::size_t end) {
        for (; t < end; ++t)
            scales[t] = detail::quantise_token(x, t, codes + t * made.stride(x.cols()));
    });
    made.codes = codes;
    made.scales = scales;
    return made;
}

}  // namespace PARE_ARCH_NAMESPACE

}  // namespace pare::kernel

namespace pare {
using kernel::quantise;
using kernel::quantised_tokens;
}  // namespace pare

#endif  // PARE_KERNEL_QUANTISED_TOKENS_HPP
