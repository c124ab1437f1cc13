// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KERNEL_SCORE_TAP_HPP
#define PARE_KERNEL_SCORE_TAP_HPP

#include "../core/config.hpp"
#include "../kv/concepts.hpp"

#include <cstddef>
#include <span>

namespace pare::kernel {

/// What an attention pass does to the sum that the ledger keeps for every token: sum = carry * sum
/// + the probabilities of each query, times its weight, reduced over the query heads of the KV
/// head.
struct score_tap {
    float carry = 1.0f;
    std::span<const float> weights{};  ///< (queries); empty: the pass leaves the ledger alone
    kv::reduction across = kv::reduction::mean;
};

}  // namespace pare::kernel

#endif  // PARE_KERNEL_SCORE_TAP_HPP
