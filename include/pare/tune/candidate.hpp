// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_TUNE_CANDIDATE_HPP
#define PARE_TUNE_CANDIDATE_HPP

#include "../core/config.hpp"
#include "../core/dtype.hpp"
#include "../core/status.hpp"

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

namespace pare::tune {

/// What choose() says of a candidate.
enum class verdict : std::uint8_t {
    untried,
    chosen,
    slower,      ///< than the chosen one
    not_faster,  ///< than dense
    too_lossy,   ///< for the demand
};

/// A product that could stand for a layer's dense one: what is known of it, then what race() and
/// choose() find.
struct candidate {
    std::size_t bytes = 0;  ///< of its packed weights
    std::uint64_t multiply_adds =
        0;                  ///< of a run; those that the packed weights leave out do not count
    double retained = 1.0;  ///< share of the dense weights' saliency
    double error = 0.0;     ///< of its outputs, relative to the dense ones

    double seconds = 0.0;        ///< of a run: median
    double speedup = 1.0;        ///< over dense: median over the rounds
    double least_speedup = 1.0;  ///< the first quartile: most rounds have more
    verdict outcome = verdict::untried;
};

/// What a candidate other than dense has to keep to.
struct demand {
    double retained = 0.0;                              ///< at least
    double error = std::numeric_limits<double>::max();  ///< at most
    double margin = 0.02;  ///< of its speed over dense's, more than this: what timing leaves unsure
};

inline namespace PARE_ARCH_NAMESPACE {
namespace detail {

inline bool is_faster(const candidate& a, const candidate& b) noexcept {
    if (a.speedup > b.speedup) return true;
    return !(b.speedup > a.speedup) && a.bytes < b.bytes;
}

}  // namespace detail

/// The fastest of those that meet the demand and beat dense by more than the margin, and in three
/// rounds of four at all; of equal speed that of fewer bytes, then the earlier. Else dense.
/// @param field  the first is dense; each gets its outcome
/// @return the chosen one's place; invalid_argument for an empty field; not_a_number for what is
/// not finite in the demand or, at its place, a candidate
inline result<std::size_t> choose(std::span<candidate> field, const demand& wanted) noexcept {
    if (field.empty()) return error{errc::invalid_argument, "tune: a field without dense"};
    if (!is_finite(wanted.retained) || !is_finite(wanted.error) || !is_finite(wanted.margin))
        return error{errc::not_a_number, "tune: the demand is not finite"};
    for (std::size_t i = 0; i < field.size(); ++i)
        if (!is_finite(field[i].retained) || !is_finite(field[i].error) ||
            !is_finite(field[i].speedup) || !is_finite(field[i].least_speedup))
            return error{errc::not_a_number, "tune: a candidate's figures are not finite", i};
    std::size_t best = 0;
    for (std::size_t i = 1; i < field.size(); ++i) {
        candidate& c = field[i];
        if (c.retained < wanted.retained || c.error > wanted.error) c.outcome = verdict::too_lossy;
        else if (c.speedup > 1.0 + wanted.margin && c.least_speedup > 1.0) {
            c.outcome = verdict::slower;
            if (best == 0 || detail::is_faster(c, field[best])) best = i;
        } else c.outcome = verdict::not_faster;
    }
    field[0].outcome = verdict::slower;
    field[best].outcome = verdict::chosen;
    return best;
}

}  // namespace PARE_ARCH_NAMESPACE

}  // namespace pare::tune

#endif  // PARE_TUNE_CANDIDATE_HPP
