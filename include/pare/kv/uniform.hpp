// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KV_UNIFORM_HPP
#define PARE_KV_UNIFORM_HPP

#include "concepts.hpp"

#include <cstddef>

namespace pare::kv::inline PARE_ARCH_NAMESPACE {

/// The same number of tokens for every head of every layer.
struct uniform {
    std::size_t tokens_per_head = 0;

    std::size_t tokens(std::size_t, std::size_t) const noexcept { return tokens_per_head; }
};

static_assert(budget<uniform>);

}  // namespace pare::kv::inline PARE_ARCH_NAMESPACE

#endif  // PARE_KV_UNIFORM_HPP
