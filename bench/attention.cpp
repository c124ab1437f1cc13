// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "harness.hpp"

#include <pare/core/thread_pool.hpp>
#include <pare/kernel/lserve.hpp>
#include <pare/kernel/selective_attention.hpp>
#include <pare/kv/a2sf.hpp>
#include <pare/kv/evict.hpp>

namespace bench {

namespace {

namespace kv = pare::kv;

constexpr std::size_t query_heads = 32, kv_heads = 8;

/// One layer whose heads hold `tokens` tokens, as a decoder finds it.
struct layer_cache {
    layer_cache(const kv::block_layout& l, std::size_t n)
        : tokens(n), layout(l),
          memory(make_buffer<std::byte>(kv::store_bytes(shape(), {&layout, 1}, page(), n + 1) +
                                        kv::pool::alignment)),
          pool(value_or_exit(kv::pool::make(memory.span(), page()))),
          store(value_or_exit(kv::store::make(shape(), layout, pool))),
          scratch(value_or_exit(pare::attention_scratch::make(shape(), n + 1))),
          evictions(value_or_exit(kv::eviction_scratch::make(shape(), n + 1))),
          queries(make_buffer<float>(query_heads * layout.head_dim)),
          out(make_buffer<float>(query_heads * layout.head_dim)) {
        const std::size_t head_dim = layout.head_dim;
        constexpr std::size_t chunk = 64;
        pare::random random(1);
        auto numbers = make_buffer<float>(chunk * kv_heads * head_dim);
        for (float& x : queries.span()) x = random.symmetric();
        for (std::size_t t = 0; t < n; t += chunk) {
            for (float& x : numbers.span()) x = random.symmetric();
            append({numbers.data(), std::min(chunk, n - t), kv_heads * head_dim}, t);
        }
    }

    void append(pare::matrix_view<const float> x, std::size_t position) {
        if (!store.append(0, 0, x, x, position)) std::abort();
    }
    void attend(auto&& run, const pare::score_tap& tap, std::size_t position) {
        const std::size_t cols = query_heads * layout.head_dim;
        if (!pare::attention(store, 0, 0, {queries.data(), 1, cols}, {out.data(), 1, cols},
                             position, scratch, run, tap))
            std::abort();
    }
    std::size_t bytes() const { return tokens * kv_heads * layout.bytes() / kv::block_tokens; }
    kv::shape shape() const { return {1, query_heads, kv_heads, layout.head_dim}; }
    std::size_t page() const { return kv::pool::page_bytes_for(kv::store::stored_bytes(layout)); }

    std::size_t tokens;
    kv::block_layout layout;
    pare::buffer<std::byte> memory;
    kv::pool pool;
    kv::store store;
    pare::attention_scratch scratch;
    kv::eviction_scratch evictions;
    pare::buffer<float> queries, out;
};

void set_counters(benchmark::State& state, const layer_cache& c) {
    const double products = 4.0 * static_cast<double>(query_heads * c.layout.head_dim * c.tokens);
    state.counters["flops"] = products;
    // In integers everything is multiplied twice, in two parts.
    const bool in_integers = PARE_HAS_CODE_DOT && kv::has_scales(c.layout.keys);
    state.counters[in_integers ? "executed_dots" : "executed_flops"] =
        in_integers ? 2 * products : products;
    state.counters["bytes"] = static_cast<double>(c.bytes());
}

// What the options of a layout cost, alone.
void add_option(const char* name, const kv::block_layout& layout, const char* dtype,
                std::size_t n) {
    add_benchmark(std::string(name) + "/d" + std::to_string(layout.head_dim) + '/' + dtype + '/' +
                      std::to_string(kv_heads) + 'x' + std::to_string(n) + "/1/1",
                  1, [=](benchmark::State& state) {
                      layer_cache c(layout, n);
                      for (auto _ : state) c.attend(pare::serial{}, {}, n);
                      set_counters(state, c);
                  });
}

// Names: attention/dHEAD_DIM/TYPE/KV_HEADSxTOKENS/QUERIES/THREADS. Made when they run: the largest
// takes 256 MiB.
void add_shape(kv::element type, const char* dtype, std::size_t dim, std::size_t n, int threads) {
    const std::string rest = "/d" + std::to_string(dim) + '/' + dtype + '/' +
                             std::to_string(kv_heads) + 'x' + std::to_string(n) + "/1/" +
                             std::to_string(threads);
    const auto run = [=](benchmark::State& state, const pare::score_tap& tap) {
        layer_cache c({type, type, dim}, n);
        pare::thread_pool pool(static_cast<std::size_t>(threads));
        for (auto _ : state) {
            if (threads == 1) c.attend(pare::serial{}, tap, n);
            else c.attend(pool, tap, n);
        }
        set_counters(state, c);
    };
    add_benchmark("attention" + rest, threads, [=](benchmark::State& state) { run(state, {}); });
    add_benchmark("attention_scored" + rest, threads, [=](benchmark::State& state) {
        const float weight = 1.0f;
        run(state, {0.9f, {&weight, 1}});
    });
    if (threads != 1) return;
    // An eighth of the pages, chosen anew at every fourth query.
    if (n >= 4096)
        add_benchmark("attention_lserve" + rest, threads, [=](benchmark::State& state) {
            layer_cache c({.keys = type, .values = type, .head_dim = dim, .key_ranges = true}, n);
            auto reading = value_or_exit(
                pare::selective_attention<pare::lserve>::make(c.shape(), {.tokens = n / 8}, n + 1));
            const std::size_t cols = query_heads * dim;
            for (auto _ : state)
                if (!reading.attend(c.store, 0, 0, {c.queries.data(), 1, cols},
                                    {c.out.data(), 1, cols}, n, c.scratch))
                    std::abort();
            set_counters(state, c);
        });
    // What comes on top at every step of a decoder with a budget, after its attention.
    add_benchmark("evict/a2sf" + rest, threads, [=](benchmark::State& state) {
        layer_cache c({type, type, dim}, n);
        const kv::policy<kv::a2sf> policy{.scorer = {0.9f}, .budget = {n}, .recent_share = 0.5f};
        const float weight = 1.0f;
        auto next = make_buffer<float>(kv_heads * dim);
        std::size_t position = n;
        for (auto _ : state) {
            state.PauseTiming();
            c.append({next.data(), 1, kv_heads * dim}, position);
            c.attend(pare::serial{}, {0.9f, {&weight, 1}}, position);
            state.ResumeTiming();
            if (!kv::evict(c.store, 0, 0, ++position, policy, c.evictions)) std::abort();
        }
    });
}

}  // namespace

void register_attention() {
    for (const std::size_t dim : {64u, 128u})
        for (const std::size_t n : {1024u, 4096u, 16384u, 65536u})
            for (const int threads : {1, 2}) {
                add_shape(kv::element::f32, "f32", dim, n, threads);
                add_shape(kv::element::f16, "f16", dim, n, threads);
                add_shape(kv::element::i8, "i8", dim, n, threads);
                add_shape(kv::element::i4, "i4", dim, n, threads);
            }
    for (const std::size_t n : {1024u, 16384u}) {
        constexpr auto i8 = kv::element::i8, i4 = kv::element::i4;
        add_option("attention_channels", {i8, i8, 128, true}, "i8", n);
        add_option("attention_channels", {i4, i4, 128, true}, "i4", n);
        add_option("attention_hadamard", {i8, i8, 128, false, true}, "i8", n);
        add_option("attention_hadamard", {i4, i4, 128, false, true}, "i4", n);
    }
}

}  // namespace bench
