// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KERNEL_EPILOGUE_HPP
#define PARE_KERNEL_EPILOGUE_HPP

#include "../core/config.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace pare::kernel {

/// max(x, 0), or that up to 6. NaN stays.
enum class activation : std::uint8_t { none, relu, relu6 };

/// What a product does to a sum before storing it: then(scale * sum + bias), each per output
/// channel. Undefined where spans overlap the result.
struct epilogue {
    std::span<const float> bias{};   ///< (out_features); none when empty
    std::span<const float> scale{};  ///< (out_features), that of a batch norm; none when empty
    activation then = activation::none;
};

inline namespace PARE_ARCH_NAMESPACE {

/// The scalar twin: what is stored for a sum of output channel r.
inline float finish(const epilogue& after, std::size_t r, float sum) noexcept {
    const float scaled = after.scale.empty() ? sum : after.scale[r] * sum;
    const float x = scaled + (after.bias.empty() ? 0.0f : after.bias[r]);
    if (after.then == activation::none) return x;
    if (after.then == activation::relu6 && x > 6.0f) return 6.0f;
    return x < 0.0f ? 0.0f : x;
}

/// Whether sums are stored as they are.
inline bool is_nothing(const epilogue& after) noexcept {
    return after.bias.empty() && after.scale.empty() && after.then == activation::none;
}

/// That of the output channels [first, first + n).
inline epilogue part_of(const epilogue& after, std::size_t first, std::size_t n) noexcept {
    const auto part = [&](std::span<const float> all) {
        return all.empty() ? all : all.subspan(first, n);
    };
    return {part(after.bias), part(after.scale), after.then};
}

/// Whether it has, if any, one bias and one scale per output channel.
inline bool fits(const epilogue& after, std::size_t out_features) noexcept {
    return (after.bias.empty() || after.bias.size() == out_features) &&
           (after.scale.empty() || after.scale.size() == out_features);
}

}  // namespace PARE_ARCH_NAMESPACE

}  // namespace pare::kernel

namespace pare {
using kernel::activation;
using kernel::epilogue;
}  // namespace pare

#endif  // PARE_KERNEL_EPILOGUE_HPP
