// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KV_ROTARY_HPP
#define PARE_KV_ROTARY_HPP

#include "../core/config.hpp"
#include "../core/status.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

namespace pare::kv {

/// Which channels of a head turn together, of `n` pairs: i and i + n (GPT-NeoX, Llama as Hugging
/// Face stores it), or 2 i and 2 i + 1 (GPT-J, Llama as Meta and llama2.c store it).
enum class pairing : std::uint8_t { half_split, interleaved };

/// How an engine turns queries and keys: pair (a, b) i of a token at position p becomes
/// (a cos x - b sin x, a sin x + b cos x) with x = p * frequencies[i]. Channels beyond the pairs
/// stay. Su et al., "RoFormer", arXiv:2104.09864.
///
/// Frequencies are doubles, for a position of 100000 magnifies what a float rounds off.
struct rotary {
    std::span<const double> frequencies;  ///< angle per position of each pair; outlives its users
    pairing pairs = pairing::half_split;
};

inline namespace PARE_ARCH_NAMESPACE {

/// Refuses frequencies that a head of `head_dim` channels cannot have.
inline status check(const rotary& r, std::size_t head_dim) noexcept {
    if (r.frequencies.empty() || r.frequencies.size() > head_dim / 2)
        return error{errc::shape_mismatch, "frequencies: (1 to head_dim / 2)",
                     r.frequencies.size()};
    return {};
}

/// Turns heads on by a number of positions: from where they stand to where they are wanted.
class rotation {
  public:
    /// @param table  (2 * frequencies) memory, must outlive the rotation
    rotation(const rotary& r, std::span<float> table) noexcept : rotary_(r), table_(table) {
        PARE_ASSERT(table.size() >= 2 * r.frequencies.size(), "a sine and a cosine of each pair");
        set(0);
    }

    /// Angles are computed in double, their sines and cosines rounded once.
    void set(std::int64_t positions) noexcept {
        if (positions == positions_) return;
        positions_ = positions;
        const double* const frequencies = rotary_.frequencies.data();
        for (std::size_t i = 0; i < rotary_.frequencies.size(); ++i) {
            const double angle = static_cast<double>(positions) * frequencies[i];
            table_[2 * i] = static_cast<float>(std::cos(angle));
            table_[2 * i + 1] = static_cast<float>(std::sin(angle));
        }
    }

    /// @param head  (head_dim) a query or key
    void apply(std::span<float> head) const noexcept {
        const std::size_t n = rotary_.frequencies.size();
        const bool halves = rotary_.pairs == pairing::half_split;
        const std::size_t step = halves ? 1 : 2, other = halves ? n : 1;
        PARE_ASSERT(head.size() >= 2 * n, "a head has all the pairs");
        for (std::size_t i = 0; i < n; ++i) {
            const float c = table_[2 * i], s = table_[2 * i + 1];
            const float a = head[i * step], b = head[i * step + other];
            head[i * step] = a * c - b * s;
            head[i * step + other] = a * s + b * c;
        }
    }

  private:
    rotary rotary_;
    std::span<float> table_;
    std::int64_t positions_ = -1;  // what the table is for
};

}  // namespace PARE_ARCH_NAMESPACE

}  // namespace pare::kv

#endif  // PARE_KV_ROTARY_HPP
