// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/kernel/simd/kv_codes.hpp>

#include "support/catch.hpp"
#include "support/fenced_array.hpp"
#include "support/guarded_buffer.hpp"
#include "support/kv.hpp"

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#if PARE_HAS_CODE_DOT

using pare::kv::block_layout, pare::kv::block_tokens, pare::kv::element, pare::kv::group;
using pare::simd::lanes, pare::simd::parts_stride, pare::simd::vecf;
using pare::testing::fence, pare::testing::fenced_array, pare::testing::guarded_buffer;

namespace {

// Any codes between fences, and those of token t, channel c.
struct random_codes {
    random_codes(const block_layout& l, pare::random& random)
        : layout(l), bytes(drawn(l.bytes(), random), fence::after) {}

    static std::vector<std::byte> drawn(std::size_t n, pare::random& random) {
        std::vector<std::byte> all(n);
        for (std::byte& b : all) b = static_cast<std::byte>(random.below(256));
        return all;
    }
    template <element E>
    double key(std::size_t t, std::size_t c) const {
        const auto lane = (c / pare::kv::depth_of(E) * group + t % group) * 4;
        return code<E>(t / group * layout.tile_bytes() + lane, c);
    }
    template <element E>
    double value(std::size_t t, std::size_t c) const {
        return code<E>(
            layout.values_at() + t / pare::kv::depth_of(E) * layout.value_row_bytes() + c * 4, t);
    }
    template <element E>
    double code(std::size_t lane, std::size_t k) const {
        const auto place =
            pare::kv::detail::place_in_lane(bytes.data() + lane, k % pare::kv::depth_of(E));
        return static_cast<double>(pare::kv::detail::get<E>(place, {{0x3c00}, {0}}));
    }

    block_layout layout;
    mutable fenced_array<std::byte> bytes;
};

// Four rows of n numbers that are whole already, and their parts.
struct whole_rows {
    whole_rows(std::size_t n, pare::random& random) : numbers(4 * n), parts(n / 4 * parts_stride) {
        for (std::size_t i = 0; i < 4 * n; ++i)
            numbers[i] = std::round(32639.0f * (i % 7 == 0 ? 1.0f : random.symmetric()));
        for (std::size_t q = 0; q < 4; ++q)
            for (std::size_t i = 0; i < n; i += lanes)
                pare::simd::store_parts(vecf::load_unaligned(&numbers[q * n + i]),
                                        pare::simd::parts_for(32639.0f),
                                        &parts[i / 4 * parts_stride + q * 8]);
    }
    std::vector<float> numbers;
    std::vector<std::byte> parts;
};

template <element E>
int n_wrong_dots(std::size_t dim) {
    pare::random random(dim);
    random_codes block(block_layout{E, element::f16, dim}, random);
    const std::size_t n = block.layout.padded_dim(), stride = block_tokens + 3;
    whole_rows queries(n, random);
    guarded_buffer<float> logits(3 * stride + block_tokens);
    pare::simd::dot_key_codes<E>(block.layout, block.bytes.data(), queries.parts.data(),
                                 logits.data(), stride);
    int wrong = !logits.intact();
    for (std::size_t q = 0; q < 4; ++q)
        for (std::size_t t = 0; t < block_tokens; ++t) {
            double sum = 0.0;
            for (std::size_t c = 0; c < block.layout.key_groups() * pare::kv::depth_of(E); ++c)
                sum +=
                    static_cast<double>(queries.numbers[q * n + c]) * block.template key<E>(t, c);
            // The two sums round when they become floats, the upper one 256 times that, and once
            // more.
            const double largest = 32639.0 * pare::kv::levels_of(E) * static_cast<double>(n);
            wrong += !(std::fabs(static_cast<double>(logits[q * stride + t]) - sum) <=
                       3 * 0x1p-24 * largest);
        }
    return wrong;
}

template <element E, std::size_t Vecs>
int n_wrong_values(std::size_t dim, std::size_t channel, std::size_t last_size) {
    pare::random random(dim + last_size);
    random_codes one(block_layout{element::i8, E, dim}, random), two(one.layout, random);
    const std::array blocks{pare::simd::kv_block{one.bytes.data(), block_tokens, two.bytes.data()},
                            pare::simd::kv_block{two.bytes.data(), last_size, two.bytes.data()}};
    const std::size_t padded = one.layout.padded_dim(), n = 2 * block_tokens;
    whole_rows weights(n, random);
    for (std::size_t q = 0; q < 4; ++q)
        for (std::size_t t = block_tokens + last_size; t < n; ++t) {
            weights.numbers[q * n + t] = 0.0f;
            for (const std::size_t part : {0u, 4u})
                weights.parts[t / 4 * parts_stride + q * 8 + part + t % 4] = std::byte{0};
        }
    const std::array<float, 4> rescale{1.0f, 0.0f, 2.0f, 0.5f}, step{1.0f, 2.0f, 0.25f, 0.0f};
    guarded_buffer<float> out(4 * padded);
    for (float& x : out.span()) x = static_cast<float>(random.below(9));
    const std::vector<float> before(out.begin(), out.end());
    pare::simd::add_value_codes<E, Vecs>(one.layout, std::span(blocks), channel,
                                         weights.parts.data(), rescale.data(), step.data(),
                                         out.data(), padded);
    int wrong = !out.intact();
    for (std::size_t q = 0; q < 4; ++q)
        for (std::size_t c = 0; c < padded; ++c) {
            const auto was = static_cast<double>(before[q * padded + c]);
            if (c < channel || c >= channel + Vecs * lanes) {
                wrong += static_cast<double>(out[q * padded + c]) != was;
                continue;
            }
            double sum = 0.0;
            for (std::size_t t = 0; t < n; ++t)
                sum += static_cast<double>(weights.numbers[q * n + t]) *
                       (t < block_tokens ? one : two).template value<E>(t % block_tokens, c);
            sum = static_cast<double>(rescale[q]) * was + static_cast<double>(step[q]) * sum;
            const double largest = 2 * 32639.0 * pare::kv::levels_of(E) * static_cast<double>(n);
            wrong += !(std::fabs(static_cast<double>(out[q * padded + c]) - sum) <=
                       4 * 0x1p-24 * largest);
        }
    return wrong;
}

}  // namespace

TEST_CASE("dot_key_codes is exact but for the roundings of its result, at every head_dim") {
    for (const std::size_t dim : {2u, 4u, 6u, 16u, 18u, 64u, 80u, 130u, 1024u}) {
        CAPTURE(dim);
        CHECK(n_wrong_dots<element::i8>(dim) == 0);
        CHECK(n_wrong_dots<element::i4>(dim) == 0);
    }
}

TEST_CASE("add_value_codes is so too, whatever the block, and leaves other channels alone") {
    for (const std::size_t last_size : {1u, 2u, 4u, 5u, 17u, 31u, 32u})
        for (const std::size_t dim : {2u, 18u, 64u, 80u}) {
            CAPTURE(dim, last_size);
            for (std::size_t c = 0; c < dim; c += lanes) {
                CHECK(n_wrong_values<element::i8, 1>(dim, c, last_size) == 0);
                CHECK(n_wrong_values<element::i4, 1>(dim, c, last_size) == 0);
            }
            if (dim < 64) continue;
            constexpr std::size_t vecs = pare::simd::code_vecs_at_once;
            CHECK(n_wrong_values<element::i8, vecs>(dim, lanes, last_size) == 0);
            CHECK(n_wrong_values<element::i4, vecs>(dim, 2 * lanes, last_size) == 0);
        }
}

#endif
