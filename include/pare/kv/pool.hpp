// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KV_POOL_HPP
#define PARE_KV_POOL_HPP

#include "../core/config.hpp"
#include "../core/status.hpp"

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <new>
#include <span>

namespace pare::kv::inline PARE_ARCH_NAMESPACE {

/// Memory of one or more caches: pages of one size, cut from memory that the caller owns. A page in
/// use is divided into blocks of one size, and goes back when its last block does, so that
/// bytes_in_use() is exactly what was taken. Nothing is allocated elsewhere. Not thread-safe.
class pool {
    /// At the start of every page.
    struct alignas(64) page {
        std::array<std::uint64_t, 6> free_blocks;  // one bit per block
        std::uint32_t n_free;                      // of them
        std::uint32_t block_bytes;                 // 0: the page is free
        std::uint32_t previous,
            next;  // of the free pages, or of those of its size with free blocks
    };
    static_assert(sizeof(page) == 64);
    static constexpr std::uint32_t none = static_cast<std::uint32_t>(-1);

  public:
    pool(pool&&) noexcept = default;
    pool& operator=(pool&&) noexcept = default;

    static constexpr std::size_t alignment = 64;    ///< of pages and blocks
    static constexpr std::size_t max_sizes = 16;    ///< different sizes of block at a time
    static constexpr std::size_t max_blocks = 384;  ///< of a page

    /// Uses as many whole pages of `page_bytes` (rounded up to 64) as fit into `memory`, which must
    /// outlive the pool and everything made on it.
    static result<pool> make(std::span<std::byte> memory, std::size_t page_bytes) noexcept {
        pool made;
        page_bytes = rounded(page_bytes);
        if (page_bytes < 2 * sizeof(page) || page_bytes >= none)
            return error{errc::invalid_argument, "a page has 128 bytes to 4 GiB", page_bytes};
        const std::size_t skip =
            (alignment - reinterpret_cast<std::uintptr_t>(memory.data()) % alignment) % alignment;
        if (memory.size() < skip + page_bytes || (memory.size() - skip) / page_bytes >= none)
            return error{errc::buffer_too_small, "the pool's memory does not hold one page"};
        made.base_ = memory.data() + skip;
        made.page_bytes_ = page_bytes;
        made.n_pages_ = (memory.size() - skip) / page_bytes;
        return made;
    }

    /// What a block of `bytes` takes: multiples of 64.
    static constexpr std::size_t rounded(std::size_t bytes) noexcept {
        return (bytes + alignment - 1) / alignment * alignment;
    }
    /// Blocks of `bytes` that one page of `page_bytes` holds.
    static constexpr std::size_t blocks_per_page(std::size_t page_bytes,
                                                 std::size_t bytes) noexcept {
        if (page_bytes < sizeof(page)) return 0;
        const std::size_t fit = (rounded(page_bytes) - sizeof(page)) / rounded(bytes);
        return fit < max_blocks ? fit : max_blocks;
    }
    /// The page that holds `n` blocks of `bytes` exactly.
    static constexpr std::size_t page_bytes_for(std::size_t bytes, std::size_t n = 1) noexcept {
        return sizeof(page) + n * rounded(bytes);
    }

    /// A block of `bytes`, aligned to 64; null when no page is left, or a page is too small.
    void* allocate(std::size_t bytes) noexcept {
        bytes = rounded(bytes);
        const std::size_t fit = bytes == 0 ? 0 : blocks_per_page(page_bytes_, bytes);
        size_class* const c = fit == 0 ? nullptr : class_of(bytes);
        if (c == nullptr) return nullptr;
        if (c->partial == none) {
            if (free_ == none && n_touched_ == n_pages_) return nullptr;
            const auto taken = free_ != none ? free_ : static_cast<std::uint32_t>(n_touched_);
            if (free_ != none) unlink(free_, taken);
            else ::new (static_cast<void*>(base_ + n_touched_++ * page_bytes_)) page{};
            at(taken).block_bytes = static_cast<std::uint32_t>(bytes);
            at(taken).n_free = static_cast<std::uint32_t>(fit);
            at(taken).free_blocks = {};
            for (std::size_t i = 0; i < fit; ++i) at(taken).free_blocks[i / 64] |= bit(i);
            push(c->partial, taken);
            ++c->n_pages;
            if (++n_used_ > n_peak_) n_peak_ = n_used_;
        }
        const std::uint32_t index = c->partial;
        page& p = at(index);
        std::uint64_t* word = p.free_blocks.data();
        while (*word == 0) ++word;
        const auto block =
            static_cast<std::size_t>(64 * (word - p.free_blocks.data()) + std::countr_zero(*word));
        *word &= *word - 1;
        if (--p.n_free == 0) unlink(c->partial, index);
        return base_ + index * page_bytes_ + sizeof(page) + block * bytes;
    }

    /// @pre `block` came from allocate() and was not released since
    void release(void* block) noexcept {
        const std::size_t offset = static_cast<std::size_t>(static_cast<std::byte*>(block) - base_);
        const auto index = static_cast<std::uint32_t>(offset / page_bytes_);
        page& p = at(index);
        const std::size_t bytes = p.block_bytes;
        const std::size_t i = (offset % page_bytes_ - sizeof(page)) / bytes;
        PARE_ASSERT((p.free_blocks[i / 64] & bit(i)) == 0, "a block is released twice");
        size_class& c = *class_of(bytes);
        if (p.n_free++ == 0) push(c.partial, index);
        p.free_blocks[i / 64] |= bit(i);
        if (p.n_free == blocks_per_page(page_bytes_, bytes)) {
            unlink(c.partial, index);
            p.block_bytes = 0;
            push(free_, index);
            --c.n_pages;
            --n_used_;
        }
    }

    std::size_t page_bytes() const noexcept { return page_bytes_; }
    std::size_t n_pages() const noexcept { return n_pages_; }
    std::size_t bytes_in_use() const noexcept { return n_used_ * page_bytes_; }
    /// The most bytes_in_use() there have been since make() or reset_peak().
    std::size_t peak_bytes() const noexcept { return n_peak_ * page_bytes_; }
    void reset_peak() noexcept { n_peak_ = n_used_; }

  private:
    pool() noexcept = default;

    struct size_class {
        std::size_t bytes = 0;
        std::size_t n_pages = 0;       // of this size
        std::uint32_t partial = none;  // those with free blocks
    };

    static constexpr std::uint64_t bit(std::size_t block) noexcept {
        return std::uint64_t{1} << block % 64;
    }
    page& at(std::uint32_t index) noexcept {
        return *std::launder(reinterpret_cast<page*>(base_ + index * page_bytes_));
    }
    // Of this size, or one that no page has; null when there are too many sizes.
    size_class* class_of(std::size_t bytes) noexcept {
        size_class* unused = nullptr;
        for (size_class& c : classes_) {
            if (c.bytes == bytes) return &c;
            if (c.n_pages == 0) unused = &c;
        }
        if (unused != nullptr) unused->bytes = bytes;
        return unused;
    }
    void push(std::uint32_t& list, std::uint32_t index) noexcept {
        at(index).previous = none;
        at(index).next = list;
        if (list != none) at(list).previous = index;
        list = index;
    }
    void unlink(std::uint32_t& list, std::uint32_t index) noexcept {
        const page& p = at(index);
        if (p.previous != none) at(p.previous).next = p.next;
        else list = p.next;
        if (p.next != none) at(p.next).previous = p.previous;
    }

    std::byte* base_ = nullptr;
    std::size_t page_bytes_ = 0, n_pages_ = 0, n_used_ = 0, n_peak_ = 0;
    std::size_t n_touched_ = 0;  // pages that were ever used: memory beyond is never written to
    std::uint32_t free_ = none;
    std::array<size_class, max_sizes> classes_{};
};

}  // namespace pare::kv::inline PARE_ARCH_NAMESPACE

#endif  // PARE_KV_POOL_HPP
