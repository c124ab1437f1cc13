// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/kv/store_bytes.hpp>

#include <pare/kv/store.hpp>

#include "support/catch.hpp"
#include "support/kv.hpp"

#include <cstddef>
#include <cstdint>
#include <numeric>
#include <vector>

using pare::kv::block_layout, pare::kv::element, pare::kv::pool, pare::kv::store;
using pare::testing::matrix, pare::testing::pool_memory;

TEST_CASE("store_bytes is what a sequence takes, to the page") {
    constexpr pare::kv::shape s{.layers = 3, .query_heads = 4, .kv_heads = 2, .head_dim = 6};
    const block_layout a{element::f16, element::i8, 6}, b{element::bf16, element::bf16, 6};
    for (const std::size_t page_bytes : {2048u, 4096u, 30016u})
        for (const auto& layouts : {std::vector{a}, {a, b, a}, {b, b, b}}) {
            pool_memory memory(page_bytes, 2'000'000 / page_bytes);
            auto made = store::make(s, layouts, memory.pool());
            REQUIRE(made);
            CHECK(made->bytes_for(0) == 0);
            for (const std::size_t n : {1u, 31u, 32u, 33u, 64u, 100u, 500u}) {
                const matrix rows(n, 12);
                for (std::size_t l = 0; l < 3; ++l)
                    REQUIRE(made->append(0, l, rows.view(), rows.view(), 0));
                CAPTURE(page_bytes, layouts.size(), n);
                CHECK(memory.pool().bytes_in_use() == made->bytes_for(n));
                CHECK(made->bytes_for(n) == store_bytes(s, layouts, page_bytes, n));
                made->clear(0);
            }
        }
}

TEST_CASE("keys that lose channels save what they should, but for a page of each size and 4 %") {
    constexpr std::size_t head_dim = 64, heads = 4, tokens = 4096, stay = 12 * 32;
    constexpr pare::kv::shape s{1, heads, heads, head_dim, 1, 2};
    const matrix rows(tokens, heads * head_dim);
    std::vector<std::uint32_t> places(tokens - stay);
    std::iota(places.begin(), places.end(), 0u);
    std::vector<float> decoded(64 * head_dim);
    for (const std::size_t kept : {16u, 32u, 48u}) {
        const block_layout whole{element::f16, element::f16, head_dim};
        const std::size_t of_whole_keys =
            store_bytes(s, {{whole, whole}}, pare::kv::page_bytes_for({&whole, 1}), tokens);
        block_layout less = whole;
        less.key_channels = kept;
        const std::vector layouts{whole, less};
        const std::size_t page = pare::kv::page_bytes_for(layouts);
        pool_memory memory(page, 10'000'000 / page);
        store tokens_of = *store::make(s, layouts, memory.pool());
        REQUIRE(tokens_of.append(0, 0, rows.view(), rows.view(), 0));
        std::vector<std::uint16_t> channels(kept);
        std::iota(channels.begin(), channels.end(), std::uint16_t{0});
        for (std::size_t h = 0; h < heads; ++h)
            REQUIRE(tokens_of.demote(0, 0, h, places, 0, decoded, channels));
        constexpr std::size_t row = sizeof(pare::kv::ledger_row);
        const std::size_t bytes = heads * (stay / 32 * (store::stored_bytes(whole) + row) +
                                           places.size() / 32 * (store::stored_bytes(less) + row));
        CAPTURE(kept, page, bytes);
        CHECK(memory.pool().bytes_in_use() >= bytes);
        CHECK(memory.pool().bytes_in_use() <= bytes * 104 / 100 + 3 * page);
        CHECK(memory.pool().bytes_in_use() < of_whole_keys);
    }
}

TEST_CASE("page_bytes_for wastes little of a page on blocks of different sizes") {
    const auto filled = [](std::size_t page, const block_layout& layout) {
        const std::size_t n = pool::blocks_per_page(page, store::stored_bytes(layout));
        return static_cast<double>(n * store::stored_bytes(layout)) / static_cast<double>(page);
    };
    for (const std::size_t head_dim : {32u, 64u, 80u, 128u}) {
        const block_layout f16{element::f16, element::f16, head_dim},
            i8{element::i8, element::i8, head_dim}, i4{element::i4, element::i4, head_dim};
        for (const auto& layouts : {std::vector{f16}, {f16, i8}, {f16, i4}, {i4, f16, i8}}) {
            const std::size_t page = pare::kv::page_bytes_for(layouts);
            for (const block_layout& layout : layouts) {
                CAPTURE(head_dim, layouts.size(), page);
                CHECK(filled(page, layout) > 0.85);
            }
        }
        CHECK(pare::kv::page_bytes_for({&f16, 1}) ==
              pool::page_bytes_for(store::stored_bytes(f16)));
    }
}
