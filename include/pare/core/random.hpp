// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_CORE_RANDOM_HPP
#define PARE_CORE_RANDOM_HPP

#include "config.hpp"

#include <cstdint>

namespace pare::inline PARE_ARCH_NAMESPACE {

/// A small deterministic generator with the same stream on every platform: splitmix64
/// (Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014).
class random {
  public:
    constexpr explicit random(std::uint64_t seed) noexcept : state_(seed) {}

    constexpr std::uint64_t next() noexcept {
        state_ += 0x9e3779b97f4a7c15u;
        std::uint64_t z = state_;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        return z ^ (z >> 31);
    }
    /// Uniform in [0, n), with a bias below n / 2^32. @pre 0 < n <= 2^32
    constexpr std::uint64_t below(std::uint64_t n) noexcept { return ((next() >> 32) * n) >> 32; }
    /// Uniform in [-1, 1) on a grid of 2^-23.
    constexpr float symmetric() noexcept {
        return static_cast<float>(static_cast<std::int64_t>(next() >> 40) - (1 << 23)) / (1 << 23);
    }

  private:
    std::uint64_t state_;
};

}  // namespace pare::inline PARE_ARCH_NAMESPACE

#endif  // PARE_CORE_RANDOM_HPP
