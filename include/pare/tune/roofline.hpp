// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_TUNE_ROOFLINE_HPP
#define PARE_TUNE_ROOFLINE_HPP

#include "candidate.hpp"

#include <cstddef>
#include <cstdint>

namespace pare::tune {

/// What the machine can do at most, measured.
struct ceilings {
    double bytes_per_second = 0.0;          ///< read, from where the weights lie
    double multiply_adds_per_second = 0.0;  ///< of floats
};

/// What keeps a product from being faster.
enum class bound : std::uint8_t {
    memory,      ///< its bytes
    arithmetic,  ///< its multiply-adds
    neither,     ///< it takes twice what either explains: indices, conversions, loads, threads
};

/// Williams et al., "Roofline", CACM 52(4), 2009.
struct roofline {
    double memory = 0.0;      ///< seconds that the bytes take
    double arithmetic = 0.0;  ///< seconds that the multiply-adds take

    /// @param other_bytes  activations
    PARE_ALWAYS_INLINE static constexpr roofline of(const candidate& c, std::size_t other_bytes,
                                                    const ceilings& most) noexcept {
        return {static_cast<double>(c.bytes + other_bytes) / most.bytes_per_second,
                static_cast<double>(c.multiply_adds) / most.multiply_adds_per_second};
    }

    /// The least that a run can take.
    PARE_ALWAYS_INLINE constexpr double seconds() const noexcept {
        return memory > arithmetic ? memory : arithmetic;
    }
    PARE_ALWAYS_INLINE constexpr tune::bound bound_of(const candidate& c) const noexcept {
        if (c.seconds > 2.0 * seconds()) return bound::neither;
        return memory > arithmetic ? bound::memory : bound::arithmetic;
    }
};

}  // namespace pare::tune

#endif  // PARE_TUNE_ROOFLINE_HPP
