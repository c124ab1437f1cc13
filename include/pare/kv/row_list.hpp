// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KV_ROW_LIST_HPP
#define PARE_KV_ROW_LIST_HPP

#include "../core/tensor_view.hpp"
#include "block.hpp"
#include "key_ranges.hpp"
#include "ledger.hpp"
#include "pool.hpp"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <span>

namespace pare::kv::inline PARE_ARCH_NAMESPACE {

/// The tokens of one head in one tier: ledger rows in a list, each with a block of the pool, full
/// but for the last. Copies share blocks until one of them writes. Does not own what it points at:
/// the store passes the pool and layout that all calls need.
class row_list {
  public:
    /// What a block takes of the pool, beside a ledger row of sizeof(ledger_row).
    static constexpr std::size_t stored_bytes(const block_layout& layout) noexcept {
        return sizeof(block_header) + pool::rounded(layout.bytes());
    }

    ledger_row* first() const noexcept { return first_; }
    ledger_row* last() const noexcept { return last_; }
    std::size_t size() const noexcept { return size_; }  ///< tokens

    /// What is known of a token.
    struct about {
        std::size_t position;
        float attention;
    };

    /// Adds tokens at the end, keys and values (tokens, head_dim), of which about_token(i) says
    /// what is known; false, and nothing done, when the pool is exhausted.
    /// @param channels  those that keys keep, where the layout has key_channels and the list is
    ///                  empty; later blocks have those of the ones before
    bool push(pool& memory, const block_layout& layout, matrix_view<const float> keys,
              matrix_view<const float> values, auto&& about_token,
              std::span<const std::uint16_t> channels = {}) noexcept {
        for (std::size_t i = 0; i < keys.rows();) {
            if (!make_room(memory, layout, channels)) {
                for (; i > 0; --i) pop(memory);
                return false;
            }
            const std::size_t left = block_tokens - last_->size, all = keys.rows() - i;
            const std::size_t n = left < all ? left : all;
            write(layout, *last_, keys.block(i, 0, n, keys.cols()),
                  values.block(i, 0, n, keys.cols()));
            for (std::size_t t = 0; t < n; ++t, ++i) {
                const about token = about_token(i);
                const auto position = static_cast<std::uint32_t>(token.position);
                last_->attention[last_->size] = token.attention;
                last_->positions[last_->size] = position;
                if (position > last_->newest) last_->newest = position;
                ++last_->size;
            }
            size_ += n;
        }
        return true;
    }

    /// Removes the last token.
    void pop(pool& memory) noexcept {
        --size_;
        if (--last_->size != 0) return;
        ledger_row* const row = last_;
        if (ledger_row* const behind = row_behind(row)) behind->ahead = nullptr;
        last_ = row->previous;
        (last_ == nullptr ? first_ : last_->next) = nullptr;
        release(memory, row);
    }

    /// Removes the token at place `token` of a row, whose place the last one takes; false, and
    /// nothing done, when the row is shared and the pool exhausted.
    bool remove(pool& memory, const block_layout& layout, ledger_row& row,
                std::size_t token) noexcept {
        const std::size_t from = last_->size - 1;
        if (&row != last_ || token != from) {
            if (!own(memory, layout, row)) return false;
            copy_token(layout, last_->block, from, row.block, token);
            if (layout.key_ranges)
                key_range(layout, row.block, token / group)
                    .widen(key_range(layout, last_->block, from / group));
            row.attention[token] = last_->attention[from];
            row.positions[token] = last_->positions[from];
            if (row.positions[token] > row.newest) row.newest = row.positions[token];
        }
        pop(memory);
        return true;
    }

    void clear(pool& memory) noexcept {
        for (ledger_row* row = first_; row != nullptr;) {
            ledger_row* const next = row->next;
            release(memory, row);
            row = next;
        }
        *this = {};
    }

    /// Makes this empty list a copy that shares all blocks; false, with a part of them, when the
    /// pool is exhausted.
    bool share(pool& memory, const row_list& other) noexcept {
        for (const ledger_row* row = other.first_; row != nullptr; row = row->next) {
            auto* const copy = static_cast<ledger_row*>(memory.allocate(sizeof(*row)));
            if (copy == nullptr) return false;
            ::new (static_cast<void*>(copy)) ledger_row(*row);
            ++header_of(row->block).owners;
            link(copy);
            size_ += row->size;
        }
        return true;
    }

    /// Visits tokens from the last to the first: `places`, ascending, are numbers of tokens in the
    /// list. visit(row, place in row) may remove the token that it is shown, and says whether to go
    /// on.
    bool visit_backwards(std::span<const std::uint32_t> places, auto&& visit) noexcept {
        ledger_row* row = last_;
        std::size_t first = row == nullptr ? 0 : size_ - row->size;  // number of the row's first
        for (std::size_t i = places.size(); i-- > 0;) {
            PARE_ASSERT(places[i] < size_, "no such token");
            for (; places[i] < first; first -= block_tokens) row = row->previous;
            ledger_row* const before = row->previous;
            const bool alone = row->size == 1;
            if (!visit(*row, places[i] - first)) return false;
            if (alone && before != nullptr) row = before, first -= block_tokens;
        }
        return true;
    }

    /// Makes a row's block its own; false when the pool is exhausted.
    static bool own(pool& memory, const block_layout& layout, ledger_row& row) noexcept {
        if (header_of(row.block).owners == 1) return true;
        std::byte* const copy = new_block(memory, layout);
        if (copy == nullptr) return false;
        std::memcpy(copy, row.block, layout.bytes());
        release_block(memory, row.block);
        row.block = copy;
        return true;
    }

  private:
    struct alignas(64) block_header {
        std::uint32_t owners;
    };

    // Makes the last row one that takes a token; false when the pool is exhausted.
    bool make_room(pool& memory, const block_layout& layout,
                   std::span<const std::uint16_t> channels) noexcept {
        if (last_ != nullptr && last_->size != block_tokens) return own(memory, layout, *last_);
        void* const place = memory.allocate(sizeof(ledger_row));
        if (place == nullptr) return false;
        std::byte* const block = new_block(memory, layout);
        if (block == nullptr) {
            memory.release(place);
            return false;
        }
        std::memset(block, 0, layout.bytes());
        if (layout.key_channels != 0)
            std::memcpy(block + layout.channels_at(),
                        last_ == nullptr ? reinterpret_cast<const std::byte*>(channels.data())
                                         : last_->block + layout.channels_at(),
                        layout.key_channels * sizeof(std::uint16_t));
        auto* const row = ::new (place) ledger_row{};
        row->block = block;
        link(row);
        return true;
    }
    static void write(const block_layout& layout, ledger_row& row, matrix_view<const float> keys,
                      matrix_view<const float> values) noexcept {
        write_tokens(layout, row.block, row.size, keys, values);
        for (std::size_t t = 0; layout.key_ranges && t < keys.rows(); ++t) {
            key_range range(layout, row.block, (row.size + t) / group);
            (row.size + t) % group == 0 ? range.start(keys.row_span(t))
                                        : range.widen(keys.row_span(t));
        }
    }
    static block_header& header_of(std::byte* block) noexcept {
        return *std::launder(reinterpret_cast<block_header*>(block - sizeof(block_header)));
    }
    // A block of one owner, its bytes not set; null when the pool is exhausted.
    static std::byte* new_block(pool& memory, const block_layout& layout) noexcept {
        void* const place = memory.allocate(stored_bytes(layout));
        if (place == nullptr) return nullptr;
        ::new (place) block_header{1};
        return static_cast<std::byte*>(place) + sizeof(block_header);
    }
    static void release_block(pool& memory, std::byte* block) noexcept {
        if (--header_of(block).owners == 0) memory.release(block - sizeof(block_header));
    }
    static void release(pool& memory, ledger_row* row) noexcept {
        release_block(memory, row->block);
        memory.release(row);
    }
    void link(ledger_row* row) noexcept {
        row->previous = last_;
        row->next = row->ahead = nullptr;
        (last_ == nullptr ? first_ : last_->next) = row;
        last_ = row;
        if (ledger_row* const behind = row_behind(row)) behind->ahead = row;
    }
    static ledger_row* row_behind(ledger_row* row) noexcept {
        for (std::size_t i = 0; i < rows_ahead && row != nullptr; ++i) row = row->previous;
        return row;
    }

    ledger_row* first_ = nullptr;
    ledger_row* last_ = nullptr;
    std::size_t size_ = 0;
};

}  // namespace pare::kv::inline PARE_ARCH_NAMESPACE

#endif  // PARE_KV_ROW_LIST_HPP
