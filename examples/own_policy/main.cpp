// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0

// A cache policy of one's own: it works with every budget, storage type and test of the library.
#include <pare/pare.hpp>

#include <cstddef>
#include <cstdio>
#include <span>
#include <vector>

namespace kv = pare::kv;

// [policies-own]
struct loudest_value {  // keeps tokens whose value vector is large
    static constexpr bool needs_vectors = true;
    void score(const kv::head_observation& head, std::span<float> scores) const noexcept {
        for (std::size_t t = 0; t < scores.size(); ++t) {
            scores[t] = 0.0f;
            for (const float v : head.value(t)) scores[t] += v * v;
        }
    }
};
static_assert(kv::token_scorer<loudest_value>);
// [policies-own]

int main() {
    constexpr std::size_t dim = 8, n = 100;
    constexpr kv::shape shape{.layers = 1, .query_heads = 1, .kv_heads = 1, .head_dim = dim};
    constexpr kv::block_layout layout{kv::element::f32, kv::element::i8, dim};
    using policy_t = kv::policy<loudest_value>;

    std::vector<std::byte> memory(1 << 16);
    auto pool = kv::pool::make(memory, kv::pool::page_bytes_for(kv::store::stored_bytes(layout)));
    if (!pool) return 1;
    auto cache = kv::cache<policy_t>::make(
        shape, layout, {.budget = {.tokens_per_head = 10}, .recent = 2}, 1, *pool);
    if (!cache) return 1;
    for (std::size_t t = 0; t < n; ++t) {
        const bool loud = t % 10 == 3;
        const std::vector<float> key(dim, 1.0f), value(dim, loud ? 2.0f : 1.0f);
        std::vector<float> out(dim);
        if (!cache->append(0, {key.data(), 1, dim}, {value.data(), 1, dim}) ||
            !cache->attend(0, {key.data(), 1, dim}, {out.data(), 1, dim}))
            return 1;
    }
    std::size_t n_loud = 0;
    const kv::ledger_row* const row = cache->tokens().view(0, 0, 0).first;
    for (std::size_t t = 0; t < row->size; ++t) n_loud += row->positions[t] % 10 == 3;
    std::printf("%zu of %u kept tokens are loud, two are the newest\n", n_loud, row->size);
    return n_loud == 8 ? 0 : 1;
}
