// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_TESTS_SUPPORT_KV_HPP
#define PARE_TESTS_SUPPORT_KV_HPP

#include "guarded_buffer.hpp"
#include "matrix.hpp"

#include <pare/kv/store.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <set>
#include <vector>

namespace pare::testing {

inline constexpr std::array<kv::element, 5> all_elements{
    kv::element::f32, kv::element::f16, kv::element::bf16, kv::element::i8, kv::element::i4};

/// A pool over `n_pages` pages of guarded memory.
class pool_memory {
  public:
    pool_memory(std::size_t page_bytes, std::size_t n_pages)
        : memory_(page_bytes * n_pages), pool_(*kv::pool::make(memory_.span(), page_bytes)) {}

    kv::pool& pool() { return pool_; }
    const std::byte* first_page() const { return memory_.data(); }
    bool intact() const { return memory_.intact(); }

  private:
    guarded_buffer<std::byte> memory_;
    kv::pool pool_;
};

/// A kept token, as a store gives it back.
struct kept_token {
    std::uint32_t position;
    float attention;
    std::vector<float> key, value;

    bool operator==(const kept_token&) const = default;
};

/// The tokens of one head in the order they lie.
inline std::vector<kept_token> tokens_of(const kv::head_view& head) {
    std::vector<kept_token> tokens;
    const std::size_t dim = head.layout->head_dim;
    for (const kv::ledger_row* row = head.first; row != nullptr; row = row->next)
        for (std::size_t t = 0; t < row->size; ++t) {
            kept_token token{row->positions[t], row->attention[t], std::vector<float>(dim),
                             std::vector<float>(dim)};
            kv::read_key(*head.layout, row->block, t, token.key);
            kv::read_value(*head.layout, row->block, t, token.value);
            tokens.push_back(token);
        }
    return tokens;
}

/// How far from 0 a head's scales per channel reach: the largest |minimum| + levels * scale.
inline double channel_reach(const kv::head_view& head) {
    double most = 0.0;
    if (!head.layout->has_channel_scales()) return most;
    const double levels = kv::levels_of(head.layout->keys);
    for (const kv::ledger_row* row = head.first; row != nullptr; row = row->next)
        for (std::size_t c = 0; c < head.layout->head_dim; ++c) {
            const auto a = kv::detail::key_of(*head.layout, row->block, 0).scale(c);
            most = std::max(most, std::fabs(static_cast<double>(to_float(a.minimum))) +
                                      levels * static_cast<double>(to_float(a.scale)));
        }
    return most;
}

/// The same by position.
inline std::vector<kept_token> sorted_tokens_of(const kv::head_view& head) {
    std::vector<kept_token> tokens = tokens_of(head);
    std::sort(tokens.begin(), tokens.end(),
              [](const kept_token& a, const kept_token& b) { return a.position < b.position; });
    return tokens;
}

inline std::vector<std::uint32_t> positions_of(const kv::head_view& head) {
    std::vector<std::uint32_t> positions;
    for (const kv::ledger_row* row = head.first; row != nullptr; row = row->next)
        positions.insert(positions.end(), row->positions.begin(),
                         row->positions.begin() + row->size);
    std::sort(positions.begin(), positions.end());
    return positions;
}

/// Removes tokens of a head at random until `size` are left, which shuffles the rest.
inline void remove_down_to(kv::store& store, std::size_t sequence, std::size_t layer,
                           std::size_t kv_head, std::size_t size, pare::random& random) {
    for (std::size_t n = store.view(sequence, layer, kv_head).size; n > size; --n) {
        const auto place = static_cast<std::uint32_t>(random.below(n));
        if (!store.remove(sequence, layer, kv_head, {&place, 1})) std::abort();
    }
}

/// The pages that the heads of a store touch, in bytes: what its pool must say is in use.
inline std::size_t bytes_touched(const kv::store& store, const std::byte* first_page) {
    std::set<std::size_t> pages;
    const kv::shape& s = store.shape();
    const auto page_of = [&](const void* at) {
        return static_cast<std::size_t>(static_cast<const std::byte*>(at) - first_page) /
               store.pool().page_bytes();
    };
    for (std::size_t q = 0; q < s.sequences; ++q)
        for (std::size_t l = 0; l < s.layers; ++l)
            for (std::size_t h = 0; h < s.kv_heads; ++h)
                for (std::size_t t = 0; t < s.tiers; ++t)
                    for (const kv::ledger_row* row = store.view(q, l, h, t).first; row != nullptr;
                         row = row->next) {
                        pages.insert(page_of(row));
                        pages.insert(page_of(row->block));
                    }
    return pages.size() * store.pool().page_bytes();
}

}  // namespace pare::testing

#endif  // PARE_TESTS_SUPPORT_KV_HPP
