// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0

// A cache with a budget inside a decode loop: the policy cuts it after every step, and a draft that
// was rejected leaves no trace.
#include <pare/pare.hpp>

#include <cstddef>
#include <cstdio>
#include <vector>

namespace kv = pare::kv;

namespace {

int report(const pare::error& e) {
    std::fprintf(stderr, "decode_loop: %s\n", e.message);
    return 1;
}

constexpr kv::shape shape{
    .layers = 2, .query_heads = 8, .kv_heads = 2, .head_dim = 64, .sequences = 2};

// What a model would compute for one token.
std::vector<float> numbers(std::size_t n, std::uint64_t seed) {
    pare::random random(seed);
    std::vector<float> x(n);
    for (float& value : x) value = random.symmetric();
    return x;
}

}  // namespace

int main() {
    // [readme-cache]
    using policy_t = kv::policy<kv::a2sf>;
    const policy_t policy{.scorer = {.forgetting = 0.9f},
                          .budget = {.tokens_per_head = 128},
                          .sinks = 4,
                          .recent_share = 0.5f};
    const kv::block_layout f16{kv::element::f16, kv::element::f16, shape.head_dim};

    std::vector<std::byte> memory(1 << 20);  // the caller's; tokens that leave give it back
    auto pool = kv::pool::make(memory, kv::pool::page_bytes_for(kv::store::stored_bytes(f16)));
    if (!pool) return report(pool.error());
    auto cache = kv::cache<policy_t>::make(shape, f16, policy, 1, *pool);
    if (!cache) return report(cache.error());

    const auto step = [&](std::uint64_t seed) -> pare::status {
        const std::size_t q_size = shape.query_heads * shape.head_dim;
        const std::size_t kv_size = shape.kv_heads * shape.head_dim;
        for (std::size_t l = 0; l < shape.layers; ++l) {
            const auto q = numbers(q_size, seed + 3 * l), k = numbers(kv_size, seed + 3 * l + 1),
                       v = numbers(kv_size, seed + 3 * l + 2);
            std::vector<float> out(q_size);
            if (auto done = cache->append(l, {k.data(), 1, kv_size}, {v.data(), 1, kv_size}); !done)
                return done;
            if (auto done = cache->attend(l, {q.data(), 1, q_size}, {out.data(), 1, q_size}); !done)
                return done;
        }
        return {};
    };
    for (std::uint64_t t = 0; t < 1000; ++t)
        if (auto done = step(t); !done) return report(done.error());
    std::printf("%zu tokens seen, %zu kept per head, %zu of %zu bytes\n", cache->length(0),
                cache->tokens().view(0, 0, 0).size, cache->bytes_in_use(), cache->bytes_if_full());
    // [readme-cache]

    // A draft of five tokens, then back: evictions that it caused are undone with it.
    const std::size_t before = cache->bytes_in_use();
    if (auto done = cache->fork(0, 1); !done) return report(done.error());
    for (std::uint64_t t = 5000; t < 5005; ++t)
        if (auto done = step(t); !done) return report(done.error());
    if (auto done = cache->fork(1, 0); !done) return report(done.error());
    cache->clear(1);
    std::printf("after a rejected draft: %zu tokens seen, %zu bytes\n", cache->length(0),
                cache->bytes_in_use());
    return cache->length(0) == 1000 && cache->bytes_in_use() == before ? 0 : 1;
}
