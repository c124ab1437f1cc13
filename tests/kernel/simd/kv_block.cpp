// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/kernel/simd/kv_block.hpp>

#include "support/catch.hpp"
#include "support/fenced_array.hpp"
#include "support/guarded_buffer.hpp"
#include "support/kv.hpp"

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

#if PARE_HAS_SIMD

using pare::kv::block_layout, pare::kv::block_tokens, pare::kv::element, pare::kv::group;
using pare::simd::groups_at_once, pare::simd::lanes, pare::simd::queries_at_once;
using pare::testing::all_elements, pare::testing::fence, pare::testing::fenced_array,
    pare::testing::guarded_buffer;

namespace {

std::array<float, group> elements(const pare::simd::group_of_floats& wide) {
    std::array<float, group> all{};
    for (std::size_t v = 0; v < wide.size(); ++v) wide[v].store_unaligned(&all[v * lanes]);
    return all;
}

template <element E>
int n_wrong_groups() {
    constexpr std::size_t bytes = block_layout::group_bytes(E);
    pare::random random(1);
    int wrong = 0;
    const pare::kv::detail::affine codes{{0x3c00}, {0}};  // as they are: scale 1, minimum 0
    for (int draw = 0; draw < 512; ++draw)
        for (const fence side : {fence::before, fence::after}) {
            std::vector<std::byte> stored(bytes);
            for (std::size_t b = 0; b < bytes; ++b)  // every byte in every place, then any
                stored[b] = static_cast<std::byte>(draw < 256 ? static_cast<std::size_t>(draw) + b
                                                              : random.below(256));
            fenced_array<std::byte> fenced(stored, side);
            const auto loaded = pare::simd::load_group<E>(fenced.data());
            for (std::size_t k = 0; k < pare::kv::depth_of(E); ++k) {
                const auto wide = elements(pare::simd::widened<E>(loaded, k));
                for (std::size_t l = 0; l < group; ++l)
                    wrong += std::bit_cast<std::uint32_t>(wide[l]) !=
                             std::bit_cast<std::uint32_t>(pare::kv::detail::get<E>(
                                 pare::kv::detail::place_in_lane(
                                     stored.data() + l * block_layout::lane_bytes(E), k),
                                 codes));
            }
        }
    return wrong;
}

// Whole numbers from 0 to 15, all of them in i4 and i8 codes: sums of products are exact.
struct block_of_integers {
    explicit block_of_integers(const block_layout& layout, pare::random& random)
        : bytes(layout.bytes()) {
        const std::size_t dim = layout.head_dim;
        const auto number = [&](std::size_t d, element e) {
            const std::size_t levels = e == element::i8 ? 255 : 15;
            return static_cast<float>(d == 0 ? 0 : d == 1 ? levels : random.below(16));
        };
        for (std::size_t t = 0; t < block_tokens; ++t) {
            std::vector<float> key, value;
            for (std::size_t d = 0; d < dim; ++d) key.push_back(number(d, layout.keys));
            for (std::size_t d = 0; d < dim; ++d) value.push_back(number(d, layout.values));
            pare::kv::write_token(layout, bytes.data(), t, key, value);
            value.resize(layout.padded_dim());
            keys.push_back(key);
            values.push_back(value);
        }
    }

    std::vector<std::byte> bytes;
    std::vector<std::vector<float>> keys, values;
};

std::vector<float> integers(std::size_t n, pare::random& random) {
    std::vector<float> all;
    for (; n != 0; --n) all.push_back(static_cast<float>(random.below(9)) - 4.0f);
    return all;
}

template <element E>
int n_wrong_dots(std::size_t dim) {
    pare::random random(dim);
    const block_layout layout{E, element::f16, dim};
    constexpr std::size_t stride = groups_at_once * group + 3;
    const std::size_t whole = layout.key_groups() * pare::kv::depth_of(E), q_stride = whole + 5;
    const block_of_integers one(layout, random), two(layout, random);
    fenced_array<float> queries(integers((queries_at_once - 1) * q_stride + whole, random),
                                fence::after);
    guarded_buffer<float> logits((queries_at_once - 1) * stride + groups_at_once * group);
    std::array<const std::byte*, groups_at_once> tiles;
    const auto block_of = [&](std::size_t g) -> const block_of_integers& {
        return g % 4 < 2 ? one : two;
    };
    for (std::size_t g = 0; g < groups_at_once; ++g)
        tiles[g] = block_of(g).bytes.data() + g % 2 * layout.tile_bytes();
    pare::simd::dot_keys<E, groups_at_once>(layout, tiles, queries.data(), q_stride, logits.data(),
                                            stride);

    int wrong = !logits.intact();
    for (std::size_t q = 0; q < queries_at_once; ++q)
        for (std::size_t g = 0; g < groups_at_once; ++g)
            for (std::size_t t = 0; t < group; ++t) {
                const auto& key = block_of(g).keys[g % 2 * group + t];
                float dot = 0.0f;
                for (std::size_t d = 0; d < dim; ++d)
                    dot += queries.data()[q * q_stride + d] * key[d];
                wrong += logits[q * stride + g * group + t] != dot;
            }
    for (std::size_t q = 0; q + 1 < queries_at_once; ++q)
        for (std::size_t i = groups_at_once * group; i < stride; ++i)
            wrong += logits[q * stride + i] != 0.0f;
    return wrong;
}

template <element E, std::size_t Groups>
int n_wrong_values(std::size_t dim, std::size_t first_group, std::size_t last_size) {
    pare::random random(dim + last_size);
    const block_layout layout{element::i8, E, dim};
    const block_of_integers one(layout, random), two(layout, random);
    const std::array blocks{pare::simd::kv_block{one.bytes.data(), block_tokens, two.bytes.data()},
                            pare::simd::kv_block{two.bytes.data(), last_size, two.bytes.data()}};
    constexpr std::size_t p_stride = 2 * block_tokens + 3;
    const std::size_t padded = layout.padded_dim();
    std::vector<float> p = integers(queries_at_once * p_stride, random);
    for (std::size_t q = 0; q < queries_at_once; ++q)
        for (std::size_t t = last_size; t < block_tokens; ++t)
            p[q * p_stride + block_tokens + t] = 0.0f;
    const std::vector<float> before = integers(queries_at_once * padded, random);
    const std::vector<float> rescale{1.0f, 0.0f, 2.0f, 0.5f};
    guarded_buffer<float> out(queries_at_once * padded);
    std::copy(before.begin(), before.end(), out.begin());
    pare::simd::add_values<E, Groups>(layout, std::span(blocks), first_group, p.data(), p_stride,
                                      rescale.data(), out.data(), padded);

    int wrong = !out.intact();
    for (std::size_t q = 0; q < queries_at_once; ++q)
        for (std::size_t c = 0; c < padded; ++c) {
            float sum = before[q * padded + c];
            if (first_group * group <= c && c < (first_group + Groups) * group) {
                sum *= rescale[q];
                for (std::size_t t = 0; t < block_tokens; ++t)
                    sum += p[q * p_stride + t] * one.values[t][c];
                for (std::size_t t = 0; t < last_size; ++t)
                    sum += p[q * p_stride + block_tokens + t] * two.values[t][c];
            }
            wrong += out[q * padded + c] != sum;
        }
    return wrong;
}

template <class Law>
void for_each_element(const Law& law) {
    for (const element e : all_elements) pare::kv::with_element(e, law);
}

}  // namespace

TEST_CASE("load_group widens what the scalar twin reads, from its own bytes alone") {
    for_each_element([]<element E>() {
        CAPTURE(static_cast<int>(E));
        CHECK(n_wrong_groups<E>() == 0);
    });
}

TEST_CASE("dot_keys is exact in integers at every head_dim") {
    for_each_element([]<element E>() {
        for (const std::size_t dim : {2u, 4u, 6u, 16u, 18u, 64u, 80u, 130u}) {
            CAPTURE(static_cast<int>(E), dim);
            CHECK(n_wrong_dots<E>(dim) == 0);
        }
    });
}

TEST_CASE("add_values is exact in integers, whatever the block, and leaves other channels alone") {
    for_each_element([]<element E>() {
        for (const std::size_t last_size : {1u, 2u, 17u, 31u, 32u})
            for (const std::size_t dim : {2u, 18u, 64u, 80u}) {
                CAPTURE(static_cast<int>(E), dim, last_size);
                for (std::size_t g = 0; g * group < dim; ++g)
                    CHECK(n_wrong_values<E, 1>(dim, g, last_size) == 0);
                if (dim >= groups_at_once * group)
                    CHECK(n_wrong_values<E, groups_at_once>(
                              dim, (dim - groups_at_once * group) / group, last_size) == 0);
            }
    });
}

#endif
