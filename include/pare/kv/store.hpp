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
#include "shape.hpp"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <span>
#include <utility>

namespace pare::kv::inline PARE_ARCH_NAMESPACE {

/// Keys, values and a ledger of every kept token, per sequence, layer and KV head: each head has a
/// length of its own. Blocks of 32 tokens come from a pool and return to it as tokens leave; the
/// last token takes the place of one that is removed, so heads stay dense and lose their order,
/// never their positions. Keys are stored as given: rotated by their true positions, they stay
/// right wherever they lie.
///
/// A fork shares blocks until one side writes to them. Nothing here is thread-safe but reading.
class store {
  public:
    /// One layout for all layers, or one per layer. The pool must outlive the store.
    static result<store> make(const shape& s, std::span<const block_layout> layouts,
                              kv::pool& pool) noexcept {
        if (s.layers == 0 || s.kv_heads == 0 || s.sequences == 0 || s.query_heads == 0 ||
            s.query_heads % s.kv_heads != 0)
            return error{errc::invalid_argument,
                         "a store needs layers, sequences, and KV heads that divide query heads"};
        if (s.head_dim == 0 || s.head_dim % 2 != 0)
            return error{errc::invalid_argument, "head_dim is even and not 0", s.head_dim};
        if (layouts.size() != 1 && layouts.size() != s.layers)
            return error{errc::shape_mismatch, "one layout for all layers, or one for each"};
        for (const block_layout& layout : layouts)
            if (layout.head_dim != s.head_dim || !layout.is_valid() ||
                pool::blocks_per_page(pool.page_bytes(), stored_bytes(layout)) == 0)
                return error{errc::invalid_argument,
                             "a layout has another or too large a head_dim, or a block is larger "
                             "than a page"};
        store made;
        made.shape_ = s;
        made.pool_ = &pool;
        auto heads = buffer<head>::make(s.sequences * s.layers * s.kv_heads);
        auto copies = buffer<block_layout>::make(s.layers);
        if (!heads || !copies) return error{errc::out_of_memory, "the table of heads"};
        for (std::size_t l = 0; l < s.layers; ++l)
            (*copies)[l] = layouts[layouts.size() == 1 ? 0 : l];
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
        return sizeof(block_header) + pool::rounded(layout.bytes());
    }

    const kv::shape& shape() const noexcept { return shape_; }
    const block_layout& layout(std::size_t layer) const noexcept { return layouts_[layer]; }
    kv::pool& pool() const noexcept { return *pool_; }

    head_view view(std::size_t sequence, std::size_t layer, std::size_t kv_head) const noexcept {
        const head& h = at(sequence, layer, kv_head);
        return {h.first, h.size, &layouts_[layer]};
    }
    /// The first ledger row of a head, whose `attention` a scorer's pass may write.
    ledger_row* rows(std::size_t sequence, std::size_t layer, std::size_t kv_head) noexcept {
        return at(sequence, layer, kv_head).first;
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
        for (std::size_t h = 0; h < shape_.kv_heads; ++h)
            for (std::size_t t = 0; t < keys.rows(); ++t)
                if (!push(at(sequence, layer, h), layouts_[layer],
                          keys.row_span(t).subspan(h * dim, dim),
                          values.row_span(t).subspan(h * dim, dim), position + t)) {
                    for (; t > 0; --t) pop(at(sequence, layer, h));
                    while (h-- > 0)
                        for (t = 0; t < keys.rows(); ++t) pop(at(sequence, layer, h));
                    return error{errc::out_of_memory, "the pool has no page left", position};
                }
        return {};
    }

    /// Removes tokens of one head, named by their ascending places in it. Fails only where a fork
    /// shares the blocks and the pool is exhausted; then some of them are still there.
    status remove(std::size_t sequence, std::size_t layer, std::size_t kv_head,
                  std::span<const std::uint32_t> places) noexcept {
        if (sequence >= shape_.sequences || layer >= shape_.layers || kv_head >= shape_.kv_heads)
            return error{errc::invalid_argument, "no such head"};
        head& h = at(sequence, layer, kv_head);
        ledger_row* row = h.last;
        std::size_t first = row == nullptr ? 0 : h.size - row->size;  // place of the row's first
        for (std::size_t i = places.size(); i-- > 0;) {
            PARE_ASSERT(places[i] < h.size, "no such token");
            while (places[i] < first) {
                row = row->previous;
                first -= block_tokens;
            }
            if (places[i] + 1 != h.size) {
                if (!own(*row, layouts_[layer]))
                    return error{errc::out_of_memory, "the pool has no page left"};
                const std::size_t to = places[i] - first, from = h.last->size - 1;
                copy_token(layouts_[layer], h.last->block, from, row->block, to);
                row->attention[to] = h.last->attention[from];
                row->positions[to] = h.last->positions[from];
                if (row->positions[to] > row->newest) row->newest = row->positions[to];
            }
            const bool row_leaves = row == h.last && row->size == 1;
            ledger_row* const before = row->previous;
            pop(h);
            if (row_leaves && before != nullptr) {
                row = before;
                first -= block_tokens;
            }
        }
        return {};
    }

    /// Forgets every token at `position` and after; not the scores that their queries gave to
    /// others, nor evictions since: fork() restores those too.
    status truncate(std::size_t sequence, std::size_t position) noexcept {
        if (sequence >= shape_.sequences)
            return error{errc::invalid_argument, "no such sequence", sequence};
        for (std::size_t l = 0; l < shape_.layers; ++l)
            for (std::size_t h = 0; h < shape_.kv_heads; ++h) {
                std::size_t place = at(sequence, l, h).size;
                for (ledger_row* row = at(sequence, l, h).last; row != nullptr;) {
                    ledger_row* const before = row->previous;
                    for (std::size_t t = row->size; t-- > 0;) {
                        const auto at_place = static_cast<std::uint32_t>(--place);
                        if (row->positions[t] < position) continue;
                        const status removed = remove(sequence, l, h, {&at_place, 1});
                        if (!removed) return removed;
                    }
                    row = before;
                }
            }
        return {};
    }

    /// Gives all blocks of a sequence back.
    void clear(std::size_t sequence) noexcept {
        for (std::size_t l = 0; l < shape_.layers; ++l)
            for (std::size_t i = 0; i < shape_.kv_heads; ++i) {
                head& h = at(sequence, l, i);
                for (ledger_row* row = h.first; row != nullptr;) {
                    ledger_row* const next = row->next;
                    release(row);
                    row = next;
                }
                h = {};
            }
    }

    /// Makes `to` an exact copy of `from`, scores included: a snapshot, a restore, a beam. Keys and
    /// values are shared until one of the two changes them. When the pool is exhausted `to` is
    /// empty.
    status fork(std::size_t from, std::size_t to) noexcept {
        if (from >= shape_.sequences || to >= shape_.sequences)
            return error{errc::invalid_argument, "no such sequence"};
        if (from == to) return {};
        clear(to);
        for (std::size_t l = 0; l < shape_.layers; ++l)
            for (std::size_t h = 0; h < shape_.kv_heads; ++h)
                for (const ledger_row* row = at(from, l, h).first; row != nullptr;
                     row = row->next) {
                    auto* const copy = static_cast<ledger_row*>(pool_->allocate(sizeof(*row)));
                    if (copy == nullptr) {
                        clear(to);
                        return error{errc::out_of_memory, "the pool has no page left"};
                    }
                    ::new (static_cast<void*>(copy)) ledger_row(*row);
                    ++header_of(row->block).owners;
                    link(at(to, l, h), copy);
                    at(to, l, h).size += row->size;
                }
        return {};
    }

    /// Bytes of a pool, in whole pages, of one sequence with `tokens` tokens in every head. Pages
    /// hold 64 blocks at most, ledger rows included: small pages, of a block or two, waste least.
    /// Forks and evictions may leave pages partly filled beyond that. The largest number there is
    /// when a block does not fit into a page.
    static std::size_t bytes_for(const kv::shape& s, std::span<const block_layout> layouts,
                                 std::size_t page_bytes, std::size_t tokens) noexcept {
        const std::size_t blocks = s.kv_heads * ((tokens + block_tokens - 1) / block_tokens);
        return bytes_of_blocks(s, layouts, page_bytes, [&](std::size_t) { return blocks; });
    }
    std::size_t bytes_for(std::size_t tokens) const noexcept {
        return bytes_for(shape_, layouts_.span(), pool_->page_bytes(), tokens);
    }
    /// The same with blocks(layer) blocks in all heads of a layer together.
    static std::size_t bytes_of_blocks(const kv::shape& s, std::span<const block_layout> layouts,
                                       std::size_t page_bytes, auto&& blocks) noexcept {
        constexpr std::size_t endless = static_cast<std::size_t>(-1);
        if (layouts.empty() || (layouts.size() != 1 && layouts.size() != s.layers)) return endless;
        const auto stored = [&](std::size_t layer) {
            return stored_bytes(layouts[layouts.size() == 1 ? 0 : layer]);
        };
        std::size_t n_rows = 0, bytes = 0;
        const auto add = [&](std::size_t n, std::size_t block_bytes) {
            const std::size_t fit = pool::blocks_per_page(page_bytes, block_bytes);
            if (fit == 0 || bytes == endless) bytes = endless;
            else bytes += (n + fit - 1) / fit * pool::rounded(page_bytes);
        };
        for (std::size_t l = 0; l < s.layers; ++l) {
            n_rows += blocks(l);
            std::size_t n = 0, k = 0;  // layers of one size share pages: counted at their first
            for (; k < s.layers && (k >= l || stored(k) != stored(l)); ++k)
                if (stored(k) == stored(l)) n += blocks(k);
            if (k == s.layers) add(n, stored(l));
        }
        add(n_rows, sizeof(ledger_row));
        return bytes;
    }

  private:
    struct head {
        ledger_row* first = nullptr;
        ledger_row* last = nullptr;
        std::size_t size = 0;
    };
    struct alignas(64) block_header {
        std::uint32_t owners;
    };

    store() noexcept = default;

    void clear_all() noexcept {
        for (std::size_t s = 0; s < shape_.sequences; ++s) clear(s);
    }
    head& at(std::size_t sequence, std::size_t layer, std::size_t kv_head) noexcept {
        PARE_ASSERT(
            sequence < shape_.sequences && layer < shape_.layers && kv_head < shape_.kv_heads,
            "no such head");
        return heads_[(sequence * shape_.layers + layer) * shape_.kv_heads + kv_head];
    }
    const head& at(std::size_t sequence, std::size_t layer, std::size_t kv_head) const noexcept {
        PARE_ASSERT(
            sequence < shape_.sequences && layer < shape_.layers && kv_head < shape_.kv_heads,
            "no such head");
        return heads_[(sequence * shape_.layers + layer) * shape_.kv_heads + kv_head];
    }
    static block_header& header_of(std::byte* block) noexcept {
        return *std::launder(reinterpret_cast<block_header*>(block - sizeof(block_header)));
    }

    // A block of one owner, its bytes not set; null when the pool is exhausted.
    std::byte* new_block(const block_layout& layout) noexcept {
        void* const memory = pool_->allocate(stored_bytes(layout));
        if (memory == nullptr) return nullptr;
        ::new (memory) block_header{1};
        return static_cast<std::byte*>(memory) + sizeof(block_header);
    }
    void release_block(std::byte* block) noexcept {
        if (--header_of(block).owners == 0) pool_->release(block - sizeof(block_header));
    }
    void release(ledger_row* row) noexcept {
        release_block(row->block);
        pool_->release(row);
    }
    static void link(head& h, ledger_row* row) noexcept {
        row->previous = h.last;
        row->next = row->ahead = nullptr;
        (h.last == nullptr ? h.first : h.last->next) = row;
        h.last = row;
        if (ledger_row* const behind = row_behind(row)) behind->ahead = row;
    }
    static ledger_row* row_behind(ledger_row* row) noexcept {
        for (std::size_t i = 0; i < rows_ahead && row != nullptr; ++i) row = row->previous;
        return row;
    }
    // Makes the row's block its own.
    bool own(ledger_row& row, const block_layout& layout) noexcept {
        if (header_of(row.block).owners == 1) return true;
        std::byte* const copy = new_block(layout);
        if (copy == nullptr) return false;
        std::memcpy(copy, row.block, layout.bytes());
        release_block(row.block);
        row.block = copy;
        return true;
    }
    bool push(head& h, const block_layout& layout, std::span<const float> key,
              std::span<const float> value, std::size_t position) noexcept {
        if (h.last == nullptr || h.last->size == block_tokens) {
            void* const memory = pool_->allocate(sizeof(ledger_row));
            if (memory == nullptr) return false;
            std::byte* const block = new_block(layout);
            if (block == nullptr) {
                pool_->release(memory);
                return false;
            }
            std::memset(block, 0, layout.bytes());
            auto* const row = ::new (memory) ledger_row{};
            row->block = block;
            link(h, row);
        } else if (!own(*h.last, layout)) {
            return false;
        }
        ledger_row& row = *h.last;
        write_token(layout, row.block, row.size, key, value);
        row.attention[row.size] = 0.0f;
        row.positions[row.size] = static_cast<std::uint32_t>(position);
        if (row.positions[row.size] > row.newest) row.newest = row.positions[row.size];
        ++row.size;
        ++h.size;
        return true;
    }
    void pop(head& h) noexcept {
        --h.size;
        if (--h.last->size != 0) return;
        ledger_row* const row = h.last;
        if (ledger_row* const behind = row_behind(row)) behind->ahead = nullptr;
        h.last = row->previous;
        (h.last == nullptr ? h.first : h.last->next) = nullptr;
        release(row);
    }

    kv::shape shape_{.sequences = 0};
    kv::pool* pool_ = nullptr;
    buffer<head> heads_;
    buffer<block_layout> layouts_;
};

}  // namespace pare::kv::inline PARE_ARCH_NAMESPACE

#endif  // PARE_KV_STORE_HPP
