// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/kv/pool.hpp>

#include "support/catch.hpp"
#include "support/kv.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

using pare::errc, pare::kv::pool;
using pare::testing::guarded_buffer, pare::testing::pool_memory;

namespace {

// Live blocks by address, and what a pool that wastes no page would say.
class naive_pool {
  public:
    naive_pool(const std::byte* first_page, std::size_t page_bytes, std::size_t n_pages)
        : first_page_(first_page), page_bytes_(page_bytes), n_pages_(n_pages) {}

    bool has_room_for(std::size_t bytes) const {
        return fit(bytes) != 0 && (in_a_used_page(bytes) || blocks_of_page_.size() < n_pages_);
    }
    bool in_a_used_page(std::size_t bytes) const {
        return std::any_of(blocks_of_page_.begin(), blocks_of_page_.end(), [&](const auto& entry) {
            const auto& blocks = entry.second;
            return rounded(blocks.begin()->second) == rounded(bytes) && blocks.size() < fit(bytes);
        });
    }
    // Whether the block lies within one page, behind 64 bytes of it, beside blocks of its own size.
    bool add(const std::byte* block, std::size_t bytes) {
        const auto offset = static_cast<std::size_t>(block - first_page_);
        auto& blocks = blocks_of_page_[offset / page_bytes_];
        bool good = offset % page_bytes_ >= 64 && offset / page_bytes_ < n_pages_ &&
                    offset % page_bytes_ + bytes <= page_bytes_;
        for (const auto& [other, size] : blocks)
            good = good && rounded(size) == rounded(bytes) &&
                   (other + size <= block || block + bytes <= other);
        blocks[block] = bytes;
        return good;
    }
    void remove(const std::byte* block) {
        const std::size_t page = static_cast<std::size_t>(block - first_page_) / page_bytes_;
        blocks_of_page_[page].erase(block);
        if (blocks_of_page_[page].empty()) blocks_of_page_.erase(page);
    }
    std::size_t bytes_in_use() const { return blocks_of_page_.size() * page_bytes_; }

  private:
    static std::size_t rounded(std::size_t bytes) { return (bytes + 63) / 64 * 64; }
    std::size_t fit(std::size_t bytes) const {
        return std::min<std::size_t>((page_bytes_ - 64) / rounded(bytes), 384);
    }

    const std::byte* first_page_;
    std::size_t page_bytes_, n_pages_;
    std::map<std::size_t, std::map<const std::byte*, std::size_t>> blocks_of_page_;
};

struct live_block {
    std::byte* at;
    std::size_t bytes;
    std::byte fill;
};

}  // namespace

TEST_CASE("a pool gives and takes as a model that wastes no page") {
    for (const std::size_t page_bytes : {128u, 1024u, 64u * 67u}) {
        constexpr std::size_t n_pages = 9;
        pool_memory memory(page_bytes, n_pages);
        pool& pool = memory.pool();
        naive_pool model(memory.first_page(), page_bytes, n_pages);
        std::vector<live_block> live;
        pare::random random(page_bytes);
        std::size_t peak = 0, wrong = 0, refused = 0;
        bool grows = true;
        for (int step = 0; step < 20000; ++step) {
            if (step % 500 == 0) grows = !grows;
            if (live.empty() || random.below(8) < (grows ? 5u : 3u)) {
                const std::array<std::size_t, 6> sizes{1, 64, 65, 300, 960, page_bytes};
                const std::size_t bytes = sizes[random.below(sizes.size())];
                const bool room = model.has_room_for(bytes), used = model.in_a_used_page(bytes);
                const std::size_t before = pool.bytes_in_use();
                auto* const at = static_cast<std::byte*>(pool.allocate(bytes));
                wrong += (at != nullptr) != room;
                refused += at == nullptr;
                if (at == nullptr) continue;
                wrong += reinterpret_cast<std::uintptr_t>(at) % pool::alignment != 0;
                wrong += !model.add(at, bytes);
                wrong += (pool.bytes_in_use() == before) != used;
                const auto fill = static_cast<std::byte>(random.below(256));
                std::fill(at, at + bytes, fill);
                live.push_back({at, bytes, fill});
            } else {
                const std::size_t i = random.below(live.size());
                const live_block gone = live[i];
                live[i] = live.back();
                live.pop_back();
                wrong += static_cast<std::size_t>(
                             std::count(gone.at, gone.at + gone.bytes, gone.fill)) != gone.bytes;
                model.remove(gone.at);
                pool.release(gone.at);
            }
            peak = std::max(peak, model.bytes_in_use());
            wrong += pool.bytes_in_use() != model.bytes_in_use() || pool.peak_bytes() != peak;
        }
        CAPTURE(page_bytes);
        CHECK(wrong == 0);
        CHECK(refused > 100);
        CHECK(peak == n_pages * page_bytes);
        for (const live_block& block : live) pool.release(block.at);
        CHECK(pool.bytes_in_use() == 0);
        CHECK(pool.peak_bytes() == peak);
        pool.reset_peak();
        CHECK(pool.peak_bytes() == 0);
        CHECK(memory.intact());
    }
}

TEST_CASE("an exhausted pool returns null until something is released") {
    pool_memory memory(pool::page_bytes_for(256, 2), 2);
    pool& pool = memory.pool();
    std::vector<void*> blocks;
    for (int i = 0; i < 4; ++i) blocks.push_back(pool.allocate(256));
    CHECK(std::count(blocks.begin(), blocks.end(), nullptr) == 0);
    CHECK(pool.allocate(256) == nullptr);
    CHECK(pool.allocate(1) == nullptr);
    CHECK(pool.bytes_in_use() == 2 * pool.page_bytes());
    pool.release(blocks[1]);
    CHECK(pool.allocate(1) == nullptr);  // the page keeps its size of block
    CHECK(pool.allocate(200) == blocks[1]);
    pool.release(blocks[2]);
    pool.release(blocks[3]);
    CHECK(pool.bytes_in_use() == pool.page_bytes());
    CHECK(pool.allocate(1) != nullptr);
}

TEST_CASE("a block that no page holds is refused and costs nothing") {
    pool_memory memory(1024, 2);
    pool& pool = memory.pool();
    CHECK(pool.allocate(0) == nullptr);
    CHECK(pool.allocate(static_cast<std::size_t>(-1)) == nullptr);
    for (std::size_t i = 0; i < 2 * pool::max_sizes; ++i)
        CHECK(pool.allocate(1024 + 64 * i) == nullptr);
    CHECK(pool.bytes_in_use() == 0);
    CHECK(pool.allocate(960) != nullptr);
}

TEST_CASE("a pool knows max_sizes sizes of block and no more") {
    pool_memory memory(64 * (pool::max_sizes + 2), pool::max_sizes + 1);
    for (std::size_t i = 1; i <= pool::max_sizes; ++i)
        CHECK(memory.pool().allocate(64 * i) != nullptr);
    CHECK(memory.pool().allocate(64 * (pool::max_sizes + 1)) == nullptr);
    CHECK(memory.pool().allocate(64) != nullptr);
}

TEST_CASE("a pool uses the whole pages that its memory holds, wherever it starts") {
    for (std::size_t misalignment = 0; misalignment < 64; ++misalignment) {
        const std::size_t skipped = (64 - misalignment) % 64;
        guarded_buffer<std::byte> memory(3 * 256 + skipped + 255, misalignment);
        auto pool = pool::make(memory.span(), 200);
        REQUIRE(pool);
        CHECK(pool->page_bytes() == 256);
        CHECK(pool->n_pages() == 3);
        for (int i = 0; i < 9; ++i) {
            auto* const block = static_cast<std::byte*>(pool->allocate(64));
            REQUIRE(block != nullptr);
            CHECK(reinterpret_cast<std::uintptr_t>(block) % pool::alignment == 0);
            std::fill(block, block + 64, std::byte{1});
        }
        CHECK(pool->allocate(64) == nullptr);
        CHECK(memory.intact());
        CHECK(pool::make(memory.span().first(256 + skipped), 256));
        CHECK(pool::make(memory.span().first(255 + skipped), 256).error().code ==
              errc::buffer_too_small);
    }
}

TEST_CASE("a pool refuses pages that hold nothing, and memory that holds no page") {
    guarded_buffer<std::byte> memory(4096);
    for (const std::size_t page_bytes :
         {std::size_t{0}, std::size_t{64}, std::size_t{1} << 32, static_cast<std::size_t>(-1)})
        CHECK(pool::make(memory.span(), page_bytes).error().code == errc::invalid_argument);
    CHECK(pool::make({}, 128).error().code == errc::buffer_too_small);
    CHECK(pool::make(memory.span(), 8192).error().code == errc::buffer_too_small);
}

TEST_CASE("page_bytes_for is the page that blocks_per_page fills") {
    for (const std::size_t bytes : {1u, 64u, 65u, 1000u})
        for (const std::size_t n : {1u, 2u, 64u, 65u, 384u}) {
            CHECK(pool::blocks_per_page(pool::page_bytes_for(bytes, n), bytes) == n);
            CHECK(pool::blocks_per_page(pool::page_bytes_for(bytes, n) - 64, bytes) == n - 1);
        }
}
