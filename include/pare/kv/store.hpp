// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KV_STORE_HPP
#define PARE_KV_STORE_HPP

#include "../core/buffer.hpp"
#include "../core/status.hpp"
#include "../core/tensor_view.hpp"
#include "block.hpp"
#include "ledger.hpp"
#include "pool.hpp"
#include "row_list.hpp"
#include "shape.hpp"
#include "store_bytes.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace pare::kv::inline PARE_ARCH_NAMESPACE {

/// Keys, values and a ledger of every kept token, per sequence, layer and KV head: each head has a
/// length of its own. Blocks of 32 tokens come from a pool and return to it as tokens leave; the
/// last token takes the place of one that is removed, so heads stay dense and lose their order,
/// never their positions. Keys are stored as given: rotated by their true positions, they stay
/// right wherever they lie.
///
/// A head has one or more tiers, each of its own types: tokens arrive in the first, demote() stores
/// them anew in the next, and attention reads all of them.
///
/// A fork shares blocks until one side writes to them. Nothing here is thread-safe but reading.
class store {
  public:
    /// One layout per tier for all layers, or (layers, tiers) of them. The pool must outlive the
    /// store.
    static result<store> make(const shape& s, std::span<const block_layout> layouts,
                              kv::pool& pool) noexcept {
        if (s.layers == 0 || s.kv_heads == 0 || s.sequences == 0 || s.query_heads == 0 ||
            s.query_heads % s.kv_heads != 0)
            return error{errc::invalid_argument,
                         "a store needs layers, sequences, and KV heads that divide query heads"};
        if (s.head_dim == 0 || s.head_dim % 2 != 0)
            return error{errc::invalid_argument, "head_dim is even and not 0", s.head_dim};
        if (s.tiers == 0 || s.tiers > max_tiers)
            return error{errc::invalid_argument, "a store has 1 to 4 tiers", s.tiers};
        if (layouts.size() != s.tiers && layouts.size() != s.layers * s.tiers)
            return error{errc::shape_mismatch, "layouts of all tiers: for all layers, or for each"};
        for (std::size_t i = 0; i < layouts.size(); ++i)
            if (layouts[i].hadamard != layouts[i / s.tiers * s.tiers].hadamard)
                return error{errc::invalid_argument, "tiers agree on the Hadamard transform", i};
        for (const block_layout& layout : layouts)
            if (layout.head_dim != s.head_dim || !layout.is_valid() ||
                pool::blocks_per_page(pool.page_bytes(), stored_bytes(layout)) == 0)
                return error{errc::invalid_argument,
                             "a layout has another or too large a head_dim, or a block is larger "
                             "than a page"};
        for (std::size_t i = 0; i < layouts.size(); i += s.tiers)
            if (layouts[i].key_channels != 0)
                return error{errc::invalid_argument, "keys lose channels when they are demoted", i};
        store made;
        made.shape_ = s;
        made.pool_ = &pool;
        auto heads = buffer<row_list>::make(s.sequences * s.layers * s.kv_heads * s.tiers);
        auto copies = buffer<block_layout>::make(s.layers * s.tiers);
        if (!heads || !copies) return error{errc::out_of_memory, "the table of heads"};
        for (std::size_t i = 0; i < copies->size(); ++i) (*copies)[i] = layouts[i % layouts.size()];
        made.heads_ = std::move(*heads);
        made.layouts_ = std::move(*copies);
        return made;
    }
    static result<store> make(const shape& s, const block_layout& layout, kv::pool& pool) noexcept {
        return make(s, {&layout, 1}, pool);
    }

    store(store&& other) noexcept { *this = std::move(other); }
    store& operator=(store&& other) noexcept {
        if (this == &other) return *this;
        clear_all();
        shape_ = std::exchange(other.shape_, {.sequences = 0});
        pool_ = other.pool_;
        heads_ = std::move(other.heads_);
        layouts_ = std::move(other.layouts_);
        return *this;
    }
    ~store() { clear_all(); }

    /// What a block takes of the pool, beside a ledger row of sizeof(ledger_row).
    static constexpr std::size_t stored_bytes(const block_layout& layout) noexcept {
        return row_list::stored_bytes(layout);
    }

    const kv::shape& shape() const noexcept { return shape_; }
    const block_layout& layout(std::size_t layer, std::size_t tier = 0) const noexcept {
        return layouts_[layer * shape_.tiers + tier];
    }
    kv::pool& pool() const noexcept { return *pool_; }

    head_view view(std::size_t sequence, std::size_t layer, std::size_t kv_head,
                   std::size_t tier = 0) const noexcept {
        const row_list& h = at(sequence, layer, kv_head, tier);
        return {h.first(), h.size(), &layout(layer, tier)};
    }
    /// Tokens of a head, in all its tiers.
    std::size_t size(std::size_t sequence, std::size_t layer, std::size_t kv_head) const noexcept {
        std::size_t n = 0;
        for (std::size_t t = 0; t < shape_.tiers; ++t) n += at(sequence, layer, kv_head, t).size();
        return n;
    }
    /// The first ledger row of a head, whose `attention` a scorer's pass may write.
    ledger_row* rows(std::size_t sequence, std::size_t layer, std::size_t kv_head,
                     std::size_t tier = 0) noexcept {
        return at(sequence, layer, kv_head, tier).first();
    }

    /// Adds tokens at `position`, `position` + 1, ... to all heads of a layer. keys, values:
    /// (tokens, kv_heads * head_dim). All or, when the pool is exhausted, nothing.
    status append(std::size_t sequence, std::size_t layer, matrix_view<const float> keys,
                  matrix_view<const float> values, std::size_t position) noexcept {
        const std::size_t dim = shape_.head_dim;
        if (keys.cols() != shape_.kv_heads * dim || keys.extents() != values.extents())
            return error{errc::shape_mismatch, "keys and values: (tokens, kv_heads * head_dim)"};
        if (keys.col_stride() != 1 || values.col_stride() != 1)
            return error{errc::not_contiguous, "keys and values need consecutive columns"};
        if (sequence >= shape_.sequences || layer >= shape_.layers)
            return error{errc::invalid_argument, "no such sequence or layer"};
        constexpr std::size_t positions = static_cast<std::uint32_t>(-1);
        if (position > positions || keys.rows() > positions - position)
            return error{errc::invalid_argument, "positions have 32 bits", position};
        const auto about = [&](std::size_t i) { return row_list::about{position + i, 0.0f}; };
        for (std::size_t h = 0; h < shape_.kv_heads; ++h)
            if (!at(sequence, layer, h, 0)
                     .push(*pool_, this->layout(layer), keys.block(0, h * dim, keys.rows(), dim),
                           values.block(0, h * dim, keys.rows(), dim), about)) {
                while (h-- > 0)
                    for (std::size_t t = 0; t < keys.rows(); ++t)
                        at(sequence, layer, h, 0).pop(*pool_);
                return error{errc::out_of_memory, "the pool has no page left", position};
            }
        return {};
    }

    /// Removes tokens of one head and tier, named by their ascending places in it. Fails only where
    /// a fork shares the blocks and the pool is exhausted; then some of them are still there.
    status remove(std::size_t sequence, std::size_t layer, std::size_t kv_head,
                  std::span<const std::uint32_t> places, std::size_t tier = 0) noexcept {
        if (!exists(sequence, layer, kv_head, tier))
            return error{errc::invalid_argument, "no such head"};
        row_list& tokens = at(sequence, layer, kv_head, tier);
        const bool done = tokens.visit_backwards(places, [&](ledger_row& row, std::size_t t) {
            return tokens.remove(*pool_, layout(layer, tier), row, t);
        });
        return done ? status{} : error{errc::out_of_memory, "the pool has no page left"};
    }

    /// Stores tokens of one head and tier, named by their ascending places in it, as the next tier
    /// does. Their positions and scores go with them.
    /// @param decoded   (2 * head_dim) memory; with 32 times as much, tokens that come to share a
    ///                  block are rounded together
    /// @param channels  ascending, for an empty tier whose layout has key_channels
    /// @return out_of_memory when the pool is exhausted; then some of them are where they were
    status demote(std::size_t sequence, std::size_t layer, std::size_t kv_head,
                  std::span<const std::uint32_t> places, std::size_t tier, std::span<float> decoded,
                  std::span<const std::uint16_t> channels = {}) noexcept {
        if (!exists(sequence, layer, kv_head, tier + 1))
            return error{errc::invalid_argument, "no such head, or no lower tier"};
        const block_layout& lower = layout(layer, tier + 1);
        if (lower.key_channels != 0 && at(sequence, layer, kv_head, tier + 1).size() == 0)
            if (const status listed = check_channels(lower, channels); !listed) return listed;
        const std::size_t fit = decoded.size() / (2 * shape_.head_dim);
        if (fit == 0) return error{errc::buffer_too_small, "a key and a value are decoded"};
        const std::size_t at_once = fit < block_tokens ? fit : block_tokens;
        for (std::size_t left = places.size(); left > 0;) {
            const std::size_t n = left < at_once ? left : at_once;
            left -= n;
            if (!demote_some(sequence, layer, kv_head, places.subspan(left, n), tier, decoded,
                             channels))
                return error{errc::out_of_memory, "the pool has no page left"};
        }
        return {};
    }

    /// Adds a vector (head_dim) to the stored value of one token, named by its place in a head and
    /// tier.
    /// @param decoded  (head_dim) memory
    /// @return out_of_memory where a fork shares the block and the pool is exhausted
    status add_to_value(std::size_t sequence, std::size_t layer, std::size_t kv_head,
                        std::uint32_t place, std::span<const float> addend,
                        std::span<float> decoded, std::size_t tier = 0) noexcept {
        if (!exists(sequence, layer, kv_head, tier))
            return error{errc::invalid_argument, "no such head"};
        const block_layout& types = layout(layer, tier);
        const bool done = at(sequence, layer, kv_head, tier)
                              .visit_backwards({&place, 1}, [&](ledger_row& row, std::size_t t) {
                                  if (!row_list::own(*pool_, types, row)) return false;
                                  const auto value = decoded.first(shape_.head_dim);
                                  read_value(types, row.block, t, value);
                                  for (std::size_t d = 0; d < value.size(); ++d)
                                      value[d] += addend[d];
                                  write_value(types, row.block, t, value);
                                  return true;
                              });
        return done ? status{} : error{errc::out_of_memory, "the pool has no page left"};
    }

    /// Ends what a head shares with forks, so that whoever has its rows() may change its keys and
    /// values. When the pool is exhausted some blocks are still shared; no token differs.
    status own(std::size_t sequence, std::size_t layer, std::size_t kv_head) noexcept {
        if (!exists(sequence, layer, kv_head, 0))
            return error{errc::invalid_argument, "no such head"};
        for (std::size_t tier = 0; tier < shape_.tiers; ++tier)
            for (auto* row = rows(sequence, layer, kv_head, tier); row != nullptr; row = row->next)
                if (!row_list::own(*pool_, layout(layer, tier), *row))
                    return error{errc::out_of_memory, "the pool has no page left"};
        return {};
    }

    /// Forgets every token at `position` and after; not the scores that their queries gave to
    /// others, nor evictions since: fork() restores those too.
    status truncate(std::size_t sequence, std::size_t position) noexcept {
        if (sequence >= shape_.sequences)
            return error{errc::invalid_argument, "no such sequence", sequence};
        bool cut = true;
        for_heads([&](std::size_t l, std::size_t h, std::size_t tier) {
            row_list& tokens = at(sequence, l, h, tier);
            for (ledger_row* row = tokens.last(); row != nullptr && cut;) {
                ledger_row* const before = row->previous;
                for (std::size_t t = row->size; t-- > 0 && cut;)
                    cut = row->positions[t] < position ||
                          tokens.remove(*pool_, layout(l, tier), *row, t);
                row = before;
            }
        });
        return cut ? status{} : error{errc::out_of_memory, "the pool has no page left"};
    }

    /// Gives all blocks of a sequence back.
    void clear(std::size_t sequence) noexcept {
        for_heads([&](std::size_t l, std::size_t i, std::size_t tier) {
            at(sequence, l, i, tier).clear(*pool_);
        });
    }

    /// Makes `to` an exact copy of `from`, scores included: a snapshot, a restore, a beam. Keys and
    /// values are shared until one of the two changes them. When the pool is exhausted `to` is
    /// empty.
    status fork(std::size_t from, std::size_t to) noexcept {
        if (from >= shape_.sequences || to >= shape_.sequences)
            return error{errc::invalid_argument, "no such sequence"};
        if (from == to) return {};
        clear(to);
        bool copied = true;
        for_heads([&](std::size_t l, std::size_t i, std::size_t tier) {
            copied = copied && at(to, l, i, tier).share(*pool_, at(from, l, i, tier));
        });
        if (copied) return {};
        clear(to);
        return error{errc::out_of_memory, "the pool has no page left"};
    }

    /// Exchanges two sequences: a restore that copies nothing, for fork() took the snapshot.
    status swap(std::size_t a, std::size_t b) noexcept {
        if (a >= shape_.sequences || b >= shape_.sequences)
            return error{errc::invalid_argument, "no such sequence"};
        for_heads([&](std::size_t l, std::size_t h, std::size_t tier) {
            std::swap(at(a, l, h, tier), at(b, l, h, tier));
        });
        return {};
    }

    /// Bytes of the pool that one sequence with `tokens` tokens in every head's first tier takes.
    std::size_t bytes_for(std::size_t tokens) const noexcept {
        return store_bytes(shape_, layouts_.span(), pool_->page_bytes(), tokens);
    }

  private:
    store() noexcept = default;

    void clear_all() noexcept {
        for (std::size_t s = 0; s < shape_.sequences; ++s) clear(s);
    }
    static status check_channels(const block_layout& layout,
                                 std::span<const std::uint16_t> channels) noexcept {
        bool ascends = channels.size() == layout.key_channels;
        for (std::size_t i = 0; i < channels.size() && ascends; ++i)
            ascends = channels[i] < layout.head_dim && (i == 0 || channels[i - 1] < channels[i]);
        if (ascends) return {};
        return error{errc::invalid_argument, "channels: (key_channels), ascending",
                     channels.size()};
    }
    // A block's worth at most.
    bool demote_some(std::size_t sequence, std::size_t layer, std::size_t kv_head,
                     std::span<const std::uint32_t> places, std::size_t tier,
                     std::span<float> decoded, std::span<const std::uint16_t> channels) noexcept {
        const std::size_t dim = shape_.head_dim, n = places.size();
        const block_layout &upper = layout(layer, tier), &lower = layout(layer, tier + 1);
        row_list &from = at(sequence, layer, kv_head, tier),
                 &to = at(sequence, layer, kv_head, tier + 1);
        const matrix_view<float> keys(decoded.data(), n, dim);
        const matrix_view<float> values(decoded.data() + n * dim, n, dim);
        std::array<row_list::about, block_tokens> about;
        std::size_t i = 0;
        from.visit_backwards(places, [&](const ledger_row& row, std::size_t t) {
            read_key(upper, row.block, t, keys.row_span(i));
            read_value(upper, row.block, t, values.row_span(i));
            about[i++] = {row.positions[t], row.attention[t]};
            return true;
        });
        if (!to.push(
                *pool_, lower, keys, values, [&](std::size_t t) { return about[t]; }, channels))
            return false;
        i = 0;
        const bool done = from.visit_backwards(places, [&](ledger_row& row, std::size_t t) {
            const bool removed = from.remove(*pool_, upper, row, t);
            i += removed;
            return removed;
        });
        for (; i < n; ++i) to.pop(*pool_);
        return done;
    }

    bool exists(std::size_t sequence, std::size_t layer, std::size_t kv_head,
                std::size_t tier) const noexcept {
        return sequence < shape_.sequences && layer < shape_.layers && kv_head < shape_.kv_heads &&
               tier < shape_.tiers;
    }
    std::size_t index_of(std::size_t sequence, std::size_t layer, std::size_t kv_head,
                         std::size_t tier) const noexcept {
        PARE_ASSERT(exists(sequence, layer, kv_head, tier), "no such head");
        return ((sequence * shape_.layers + layer) * shape_.kv_heads + kv_head) * shape_.tiers +
               tier;
    }
    row_list& at(std::size_t sequence, std::size_t layer, std::size_t kv_head,
                 std::size_t tier) noexcept {
        return heads_[index_of(sequence, layer, kv_head, tier)];
    }
    const row_list& at(std::size_t sequence, std::size_t layer, std::size_t kv_head,
                       std::size_t tier) const noexcept {
        return heads_[index_of(sequence, layer, kv_head, tier)];
    }
    void for_heads(auto&& visit) const noexcept {  // visit(layer, kv_head, tier)
        for (std::size_t l = 0; l < shape_.layers; ++l)
            for (std::size_t h = 0; h < shape_.kv_heads; ++h)
                for (std::size_t t = 0; t < shape_.tiers; ++t) visit(l, h, t);
    }
    kv::shape shape_{.sequences = 0};
    kv::pool* pool_ = nullptr;
    buffer<row_list> heads_;
    buffer<block_layout> layouts_;
};

}  // namespace pare::kv::inline PARE_ARCH_NAMESPACE

#endif  // PARE_KV_STORE_HPP
