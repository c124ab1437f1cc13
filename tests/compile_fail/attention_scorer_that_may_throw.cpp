// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
// expect: carry\(n\) and weight\(i, n\) are const, noexcept and float
#include <pare/kv/policy.hpp>

struct newest_query {
#ifdef CORRECTED
    float carry(std::size_t) const noexcept { return 0.0f; }
#else
    float carry(std::size_t) const { return 0.0f; }
#endif
    float weight(std::size_t i, std::size_t n) const noexcept { return i + 1 == n ? 1.0f : 0.0f; }
    void score(const pare::kv::head_observation&, std::span<float>) const noexcept {}
};

const pare::kv::policy<newest_query> policy;
