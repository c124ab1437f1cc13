// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KERNEL_SIMD_KV_BLOCK_HPP
#define PARE_KERNEL_SIMD_KV_BLOCK_HPP

#include "../../kv/block_layout.hpp"
#include "vec.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#if PARE_HAS_SIMD
namespace pare::simd::inline PARE_ARCH_NAMESPACE {

/// Vectors of a group of 16 numbers.
inline constexpr std::size_t group_vecs = kv::group / lanes;
using group_of_floats = std::array<vecf, group_vecs>;

/// Groups whose sums stay in registers together, for four queries.
inline constexpr std::size_t groups_at_once = lanes == 16 ? 4 : 1;
inline constexpr std::size_t queries_at_once = 4;

/// 16 lanes as they are stored: floats, or for i8 and i4 a word of codes per lane.
template <kv::element E>
using stored_group = std::array<std::conditional_t<kv::has_scales(E), veci, vecf>, group_vecs>;

template <kv::element E>
stored_group<E> load_group(const std::byte* p) noexcept {
    stored_group<E> stored;
    PARE_UNROLL
    for (std::size_t v = 0; v < group_vecs; ++v) {
        const std::byte* const at = p + v * lanes * kv::block_layout::lane_bytes(E);
        if constexpr (E == kv::element::f32) stored[v] = load(reinterpret_cast<const float*>(at));
        else if constexpr (E == kv::element::f16)
            stored[v] = load(reinterpret_cast<const f16*>(at));
        else if constexpr (E == kv::element::bf16)
            stored[v] = load(reinterpret_cast<const bf16*>(at));
        else stored[v] = veci::load_unaligned(reinterpret_cast<const std::uint32_t*>(at));
    }
    return stored;
}

/// Number k of every lane as floats: the numbers themselves, of i8 and i4 the codes.
template <kv::element E>
group_of_floats widened(const stored_group<E>& stored, std::size_t k) noexcept {
    if constexpr (kv::has_scales(E)) {
        const int shift = static_cast<int>(k % 4 * 8 + k / 4 * 4);
        group_of_floats wide;
        PARE_UNROLL
        for (std::size_t v = 0; v < group_vecs; ++v)
            wide[v] = to_floats((stored[v] >> shift) & veci(kv::levels_of(E)));
        return wide;
    } else {
        static_cast<void>(k);
        return stored;
    }
}

/// Where 32 tokens of a head lie, and what will be read after them.
struct kv_block {
    const std::byte* block;
    std::size_t size;  ///< tokens
    const std::byte* ahead;
};

/// What the kernels need of a layout, worked out once.
struct block_sizes {
    block_sizes(const kv::block_layout& l) noexcept
        : key_groups(l.key_groups()), tile_bytes(l.tile_bytes()), values_at(l.values_at()),
          value_row_bytes(l.value_row_bytes()) {}
    std::size_t key_groups, tile_bytes, values_at, value_row_bytes;
};

/// Place `at` among the keys of the blocks ahead, one after the other: asked for in this order, for
/// the machine's own prefetching follows lines that ascend.
inline const std::byte* keys_ahead(std::span<const kv_block> blocks, std::size_t key_bytes,
                                   std::size_t at) noexcept {
    std::size_t b = 0;
    for (; at >= key_bytes && b + 1 < blocks.size(); ++b) at -= key_bytes;
    return blocks[b].ahead + at;
}

/// logits[q * stride + t] = query q . key t for four queries (whole groups of channels each,
/// q_stride apart) and the tokens of some tiles, two of each block. Asks for the values meanwhile,
/// a line's worth for each line: they are read next, and lie behind the keys.
template <kv::element E, std::size_t Tiles>
void dot_keys(const block_sizes& sizes, const std::array<const std::byte*, Tiles>& tiles,
              const float* queries, std::size_t q_stride, float* logits,
              std::size_t stride) noexcept {
    constexpr std::size_t bytes = kv::block_layout::group_bytes(E), depth = kv::depth_of(E);
    std::array<std::array<group_of_floats, Tiles>, queries_at_once> sum;
    PARE_UNROLL
    for (std::size_t q = 0; q < queries_at_once; ++q) PARE_UNROLL
    for (std::size_t i = 0; i < Tiles; ++i) PARE_UNROLL
    for (std::size_t v = 0; v < group_vecs; ++v) sum[q][i][v] = vecf(0.0f);
    constexpr std::size_t per_line = bytes < 64 ? 64 / bytes : 1;
    const std::size_t values_at = sizes.values_at, n_groups = sizes.key_groups;
    for (std::size_t g = 0; g < n_groups; ++g) {
        if (g % per_line == 0) PARE_UNROLL
        for (std::size_t i = 0; i < Tiles; ++i) prefetch(tiles[i] + g * bytes, values_at);
        std::array<stored_group<E>, Tiles> keys;
        PARE_UNROLL
        for (std::size_t i = 0; i < Tiles; ++i) keys[i] = load_group<E>(tiles[i] + g * bytes);
        for (std::size_t k = 0; k < depth; ++k) {
            std::array<group_of_floats, Tiles> key;
            PARE_UNROLL
            for (std::size_t i = 0; i < Tiles; ++i) key[i] = widened<E>(keys[i], k);
            PARE_UNROLL
            for (std::size_t q = 0; q < queries_at_once; ++q) {
                const vecf x(queries[q * q_stride + g * depth + k]);
                PARE_UNROLL
                for (std::size_t i = 0; i < Tiles; ++i) PARE_UNROLL
                for (std::size_t v = 0; v < group_vecs; ++v)
                    sum[q][i][v] = fma(x, key[i][v], sum[q][i][v]);
            }
        }
    }
    PARE_UNROLL
    for (std::size_t q = 0; q < queries_at_once; ++q) PARE_UNROLL
    for (std::size_t i = 0; i < Tiles; ++i) PARE_UNROLL
    for (std::size_t v = 0; v < group_vecs; ++v)
        sum[q][i][v].store_unaligned(logits + q * stride + i * kv::group + v * lanes);
}

/// out[q * out_stride + c] = rescale[q] * out[...] + sum of p[q * p_stride + 32 b + t] * value t of
/// block b, for four queries and the channels of Groups groups from `first_group` on. Beyond the
/// tokens of a block p is 0.
template <kv::element E, std::size_t Groups>
void add_values(const block_sizes& sizes, std::span<const kv_block> blocks, std::size_t first_group,
                const float* p, std::size_t p_stride, const float* rescale, float* out,
                std::size_t out_stride) noexcept {
    constexpr std::size_t bytes = kv::block_layout::group_bytes(E), depth = kv::depth_of(E);
    constexpr std::size_t chunk = kv::block_tokens / depth * bytes;  // of a block's group
    const std::size_t row_bytes = sizes.value_row_bytes;
    out += first_group * kv::group;
    std::array<std::array<group_of_floats, Groups>, queries_at_once> sum;
    PARE_UNROLL
    for (std::size_t q = 0; q < queries_at_once; ++q) PARE_UNROLL
    for (std::size_t g = 0; g < Groups; ++g) PARE_UNROLL
    for (std::size_t v = 0; v < group_vecs; ++v)
        sum[q][g][v] = vecf(rescale[q]) *
                       vecf::load_unaligned(out + q * out_stride + g * kv::group + v * lanes);
    for (std::size_t b = 0; b < blocks.size(); ++b) {
        const std::byte* value = blocks[b].block + sizes.values_at + first_group * bytes;
        const std::byte* ahead =
            keys_ahead(blocks, sizes.values_at, (first_group * blocks.size() + b * Groups) * chunk);
        const float* weight = p + b * kv::block_tokens;
        for (std::size_t t = 0; t < blocks[b].size;
             t += depth, value += row_bytes, ahead += Groups * bytes) {
            PARE_UNROLL
            for (std::size_t line = 0; line < Groups * bytes; line += 64) prefetch(ahead, line);
            std::array<stored_group<E>, Groups> values;
            PARE_UNROLL
            for (std::size_t g = 0; g < Groups; ++g) values[g] = load_group<E>(value + g * bytes);
            for (std::size_t k = 0; k < depth; ++k) {
                std::array<group_of_floats, Groups> x;
                PARE_UNROLL
                for (std::size_t g = 0; g < Groups; ++g) x[g] = widened<E>(values[g], k);
                PARE_UNROLL
                for (std::size_t q = 0; q < queries_at_once; ++q) {
                    const vecf w(weight[q * p_stride + t + k]);
                    PARE_UNROLL
                    for (std::size_t g = 0; g < Groups; ++g) PARE_UNROLL
                    for (std::size_t v = 0; v < group_vecs; ++v)
                        sum[q][g][v] = fma(w, x[g][v], sum[q][g][v]);
                }
            }
        }
    }
    PARE_UNROLL
    for (std::size_t q = 0; q < queries_at_once; ++q) PARE_UNROLL
    for (std::size_t g = 0; g < Groups; ++g) PARE_UNROLL
    for (std::size_t v = 0; v < group_vecs; ++v)
        sum[q][g][v].store_unaligned(out + q * out_stride + g * kv::group + v * lanes);
}

}  // namespace pare::simd::inline PARE_ARCH_NAMESPACE
#endif

#endif  // PARE_KERNEL_SIMD_KV_BLOCK_HPP
