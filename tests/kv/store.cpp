// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/kv/store.hpp>

#include "support/catch.hpp"
#include "support/kv.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <set>
#include <utility>
#include <vector>

using pare::errc, pare::kv::element, pare::kv::block_layout, pare::kv::shape, pare::kv::store;
using pare::testing::matrix, pare::testing::pool_memory, pare::testing::positions_of,
    pare::testing::sorted_tokens_of, pare::testing::bytes_touched, pare::testing::kept_token;

namespace {

constexpr std::size_t dim = 6;

struct token {
    std::uint32_t position;
    float attention;
    std::array<float, dim> key, value;

    bool operator==(const token&) const = default;
};
using tokens = std::vector<token>;

// A store, its pool, and the slow model of both: a list of tokens by position for every head.
class modelled_store {
  public:
    modelled_store(const shape& s, std::vector<block_layout> layouts, std::size_t page_bytes,
                   std::size_t n_pages)
        : shape_(s), layouts_(std::move(layouts)), memory_(page_bytes, n_pages),
          store_(*store::make(s, layouts_, memory_.pool())),
          model_(s.sequences * s.layers * s.kv_heads * s.tiers), next_(s.sequences * s.layers) {}

    std::size_t n_refused = 0, n_cut_short = 0, n_done = 0, n_demoted = 0, peak = 0, longest = 0;

    bool append(std::size_t sequence, std::size_t layer, std::size_t n, pare::random& random) {
        const std::size_t cols = shape_.kv_heads * dim;
        const matrix keys = matrix::uniform(n, cols, random.next());
        const matrix values = matrix::uniform(n, cols, random.next());
        std::size_t& next = next_[sequence * shape_.layers + layer];
        const auto added = store_.append(sequence, layer, keys.view(), values.view(), next);
        if (!added) return ++n_refused, added.error().code == errc::out_of_memory;
        ++n_done;
        for (std::size_t t = 0; t < n; ++t, ++next)
            for (std::size_t h = 0; h < shape_.kv_heads; ++h)
                at(sequence, layer, h, 0).push_back(stored(layer, next, keys, values, t, h));
        return true;
    }
    bool remove(std::size_t sequence, std::size_t layer, std::size_t h, std::size_t tier,
                pare::random& random) {
        const some_tokens some = choose(sequence, layer, h, tier, random);
        const auto leaves = [&](const token& x) { return some.positions.count(x.position) != 0; };
        return settle(sequence, layer, h, tier,
                      store_.remove(sequence, layer, h, some.places, tier), leaves);
    }
    bool demote(std::size_t sequence, std::size_t layer, std::size_t h, std::size_t tier,
                pare::random& random) {
        const some_tokens some = choose(sequence, layer, h, tier, random);
        std::array<float, 2 * dim> memory;
        const auto done = store_.demote(sequence, layer, h, some.places, tier, memory);
        if (tier + 1 == shape_.tiers) return !done && done.error().code == errc::invalid_argument;
        // Those that are no longer here must be there, without memory perhaps not all.
        const auto here = positions_of(store_.view(sequence, layer, h, tier));
        for (const token& x : at(sequence, layer, h, tier))
            if (some.positions.count(x.position) != 0 &&
                (done || !std::binary_search(here.begin(), here.end(), x.position)))
                at(sequence, layer, h, tier + 1).push_back(lowered(layer, tier + 1, x));
        auto& lower = at(sequence, layer, h, tier + 1);
        std::sort(lower.begin(), lower.end(),
                  [](const token& a, const token& b) { return a.position < b.position; });
        const auto leaves = [&](const token& x) { return some.positions.count(x.position) != 0; };
        n_demoted += some.places.size();
        return settle(sequence, layer, h, tier, done, leaves);
    }
    bool truncate(std::size_t sequence, std::size_t position) {
        const auto leaves = [&](const token& x) { return x.position >= position; };
        const pare::status done = store_.truncate(sequence, position);
        bool good = true;
        for (std::size_t l = 0; l < shape_.layers; ++l) {
            for (std::size_t h = 0; h < shape_.kv_heads; ++h)
                for (std::size_t tier = 0; tier < shape_.tiers; ++tier)
                    good = settle(sequence, l, h, tier, done, leaves) && good;
            std::size_t& next = next_[sequence * shape_.layers + l];
            if (done) next = std::min(next, position);
        }
        return good;
    }
    void clear(std::size_t sequence) {
        store_.clear(sequence);
        forget(sequence);
    }
    bool fork(std::size_t from, std::size_t to) {
        const pare::status done = store_.fork(from, to);
        if (!done) forget(to), ++n_refused;
        else
            for (std::size_t l = 0; l < shape_.layers; ++l) {
                next_[to * shape_.layers + l] = next_[from * shape_.layers + l];
                for (std::size_t h = 0; h < shape_.kv_heads; ++h)
                    for (std::size_t tier = 0; tier < shape_.tiers; ++tier)
                        at(to, l, h, tier) = at(from, l, h, tier);
            }
        n_done += done.has_value();
        return done || done.error().code == errc::out_of_memory;
    }
    bool swap(std::size_t a, std::size_t b) {
        for (std::size_t l = 0; l < shape_.layers; ++l) {
            std::swap(next_[a * shape_.layers + l], next_[b * shape_.layers + l]);
            for (std::size_t h = 0; h < shape_.kv_heads; ++h)
                for (std::size_t tier = 0; tier < shape_.tiers; ++tier)
                    std::swap(at(a, l, h, tier), at(b, l, h, tier));
        }
        return store_.swap(a, b).has_value();
    }
    void score(std::size_t sequence, std::size_t layer, std::size_t h, float carry) {
        for (std::size_t tier = 0; tier < shape_.tiers; ++tier) {
            for (token& x : at(sequence, layer, h, tier))
                x.attention = carry * x.attention + static_cast<float>(x.position);
            for (auto* row = store_.rows(sequence, layer, h, tier); row != nullptr; row = row->next)
                for (std::size_t t = 0; t < row->size; ++t)
                    row->attention[t] =
                        carry * row->attention[t] + static_cast<float>(row->positions[t]);
        }
    }

    std::size_t next(std::size_t sequence) const { return next_[sequence * shape_.layers]; }
    const store& get() const { return store_; }
    pool_memory& memory() { return memory_; }

    bool agrees() {
        peak = std::max(peak, memory_.pool().bytes_in_use());
        if (memory_.pool().bytes_in_use() != bytes_touched(store_, memory_.first_page()))
            return false;
        for (std::size_t s = 0; s < shape_.sequences; ++s)
            for (std::size_t l = 0; l < shape_.layers; ++l)
                for (std::size_t h = 0; h < shape_.kv_heads; ++h) {
                    std::size_t size = 0;
                    for (std::size_t tier = 0; tier < shape_.tiers; ++tier) {
                        if (!well_formed(store_.view(s, l, h, tier)) ||
                            read(s, l, h, tier) != at(s, l, h, tier))
                            return false;
                        size += at(s, l, h, tier).size();
                    }
                    if (store_.size(s, l, h) != size) return false;
                }
        return memory_.intact();
    }

  private:
    struct some_tokens {
        std::vector<std::uint32_t> places;
        std::set<std::uint32_t> positions;
    };

    tokens& at(std::size_t sequence, std::size_t layer, std::size_t h, std::size_t tier) {
        return model_[((sequence * shape_.layers + layer) * shape_.kv_heads + h) * shape_.tiers +
                      tier];
    }
    some_tokens choose(std::size_t sequence, std::size_t layer, std::size_t h, std::size_t tier,
                       pare::random& random) const {
        some_tokens some;
        const std::uint64_t odds = 1 + random.below(8);
        std::uint32_t place = 0;
        for (const auto* row = store_.view(sequence, layer, h, tier).first; row != nullptr;
             row = row->next)
            for (std::size_t t = 0; t < row->size; ++t, ++place)
                if (random.below(8) < odds) {
                    some.places.push_back(place);
                    some.positions.insert(row->positions[t]);
                }
        return some;
    }
    void forget(std::size_t sequence) {
        for (std::size_t l = 0; l < shape_.layers; ++l) {
            next_[sequence * shape_.layers + l] = 0;
            for (std::size_t h = 0; h < shape_.kv_heads; ++h)
                for (std::size_t tier = 0; tier < shape_.tiers; ++tier)
                    at(sequence, l, h, tier).clear();
        }
    }
    // What a token looks like after rounding, by a block of its own.
    token stored(std::size_t layer, std::size_t position, const matrix& keys, const matrix& values,
                 std::size_t t, std::size_t h) const {
        token x{static_cast<std::uint32_t>(position), 0.0f, {}, {}};
        const auto key = keys.view().row_span(t).subspan(h * dim, dim);
        const auto value = values.view().row_span(t).subspan(h * dim, dim);
        std::copy(key.begin(), key.end(), x.key.begin());
        std::copy(value.begin(), value.end(), x.value.begin());
        return lowered(layer, 0, x);
    }
    token lowered(std::size_t layer, std::size_t tier, token x) const {
        const block_layout& layout = layouts_[(layer * shape_.tiers + tier) % layouts_.size()];
        std::vector<std::byte> block(layout.bytes());
        pare::kv::write_token(layout, block.data(), 0, x.key, x.value);
        pare::kv::read_key(layout, block.data(), 0, x.key);
        pare::kv::read_value(layout, block.data(), 0, x.value);
        return x;
    }
    tokens read(std::size_t sequence, std::size_t layer, std::size_t h, std::size_t tier) const {
        tokens all;
        const pare::kv::head_view head = store_.view(sequence, layer, h, tier);
        for (const auto* row = head.first; row != nullptr; row = row->next)
            for (std::size_t t = 0; t < row->size; ++t) {
                token x{row->positions[t], row->attention[t], {}, {}};
                pare::kv::read_key(*head.layout, row->block, t, x.key);
                pare::kv::read_value(*head.layout, row->block, t, x.value);
                all.push_back(x);
            }
        std::sort(all.begin(), all.end(),
                  [](const token& a, const token& b) { return a.position < b.position; });
        return all;
    }
    bool well_formed(const pare::kv::head_view& head) {
        std::size_t n = 0;
        const pare::kv::ledger_row* before = nullptr;
        for (const auto* row = head.first; row != nullptr; before = row, row = row->next) {
            if (row->previous != before || row->size == 0 || row->size > 32) return false;
            if (row->next != nullptr && row->size != 32) return false;
            const pare::kv::ledger_row* ahead = row;
            for (std::size_t i = 0; i < pare::kv::rows_ahead && ahead != nullptr; ++i)
                ahead = ahead->next;
            if (row->ahead != ahead) return false;
            for (std::size_t t = 0; t < row->size; ++t)
                if (row->positions[t] > row->newest) return false;
            n += row->size;
        }
        longest = std::max(longest, n);
        return n == head.size;
    }
    // After a removal: all that had to leave did, or, without memory, some of them.
    bool settle(std::size_t sequence, std::size_t layer, std::size_t h, std::size_t tier,
                const pare::status& done, auto&& leaves) {
        tokens& model = at(sequence, layer, h, tier);
        if (done) {
            model.erase(std::remove_if(model.begin(), model.end(), leaves), model.end());
            return ++n_done, true;
        }
        ++n_cut_short;
        const std::vector<std::uint32_t> left = positions_of(store_.view(sequence, layer, h, tier));
        model.erase(std::remove_if(model.begin(), model.end(),
                                   [&](const token& x) {
                                       return leaves(x) &&
                                              !std::binary_search(left.begin(), left.end(),
                                                                  x.position);
                                   }),
                    model.end());
        return done.error().code == errc::out_of_memory;
    }

    shape shape_;
    std::vector<block_layout> layouts_;
    pool_memory memory_;
    store store_;
    std::vector<tokens> model_;
    std::vector<std::size_t> next_;
};

constexpr shape small{
    .layers = 2, .query_heads = 6, .kv_heads = 2, .head_dim = dim, .sequences = 4};

matrix counted(std::size_t rows, std::size_t cols) {
    matrix made(rows, cols);
    for (std::size_t i = 0; i < made.data().size(); ++i) made.data()[i] = static_cast<float>(i);
    return made;
}

}  // namespace

TEST_CASE("a store does what a list of tokens does, in any order of operations") {
    constexpr std::size_t page_bytes = 4096;
    const std::size_t n_pages = GENERATE(20u, 32u), tiers = GENERATE(1u, 3u);
    const block_layout f32{element::f32, element::i8, dim}, f16{element::f16, element::f16, dim},
        i4{element::i4, element::f16, dim};
    shape of_tiers = small;
    of_tiers.tiers = tiers;
    const auto layouts = tiers == 1 ? std::vector{i4, f32} : std::vector{f32, f16, i4};
    modelled_store both(of_tiers, layouts, page_bytes, n_pages);
    pare::random random(n_pages);
    int wrong = 0;
    const auto any = [&](std::size_t n) { return static_cast<std::size_t>(random.below(n)); };
    for (int step = 0; step < 60'000 && wrong == 0; ++step) {
        const std::size_t s = any(small.sequences), l = any(2), h = any(2), tier = any(tiers);
        bool good = true;
        switch (any(19)) {
            case 0:
            case 1:
            case 2:
            case 3:
                good = both.append(s, l, 1, random);
                break;
            case 4:
            case 5:
            case 6:
                good = both.append(s, l, any(70), random);
                break;
            case 7:
            case 8:
            case 9:
            case 10:
                good = both.remove(s, l, h, tier, random);
                break;
            case 16:
            case 17:
                good = both.demote(s, l, h, tier, random);
                break;
            case 11:
                both.score(s, l, h, 0.5f);
                break;
            case 12:
            case 13:
                good = both.fork(s, any(small.sequences));
                break;
            case 18:
                good = both.swap(s, any(small.sequences));
                break;
            case 14:
                good = both.truncate(s, both.next(s) - any(both.next(s) / 2 + 1));
                break;
            case 15:
                if (any(4) == 0) both.clear(s);
                break;
        }
        wrong += !good;
        if (step % 8 == 0) wrong += !both.agrees();
        if (wrong != 0) FAIL_CHECK("after step " << step);
    }
    CHECK(both.agrees());
    // All of it was reached: refused appends and forks, removals cut short, a full pool.
    CHECK(both.n_done > 30'000);
    CHECK(both.n_refused > (n_pages == 20 ? 500 : 5));
    if (n_pages == 20) CHECK(both.n_cut_short > 10);
    if (n_pages != 20 && tiers == 1) CHECK(both.longest > 32 * (pare::kv::rows_ahead + 2));
    if (tiers != 1) CHECK(both.n_demoted > 10'000);
    CHECK(both.peak == page_bytes * n_pages);
    for (std::size_t s = 0; s < small.sequences; ++s) both.clear(s);
    CHECK(both.agrees());
    CHECK(both.memory().pool().bytes_in_use() == 0);
}

TEST_CASE("head h of a store holds columns h head_dim to h head_dim + head_dim - 1") {
    const shape s{.layers = 1, .query_heads = 15, .kv_heads = 3, .head_dim = 4};
    CHECK(s.group_size() == 5);
    pool_memory memory(4096, 8);
    auto made = store::make(s, {element::f32, element::f32, 4}, memory.pool());
    REQUIRE(made);
    const matrix keys = counted(2, 12), values = counted(2, 12);
    REQUIRE(made->append(0, 0, keys.view(), values.view(), 7));
    for (std::size_t h = 0; h < 3; ++h) {
        const auto x = static_cast<float>(4 * h);
        const std::vector<float> first{x, x + 1, x + 2, x + 3};
        const std::vector<float> second{x + 12, x + 13, x + 14, x + 15};
        CHECK(sorted_tokens_of(made->view(0, 0, h)) ==
              std::vector<kept_token>{{7, 0.0f, first, first}, {8, 0.0f, second, second}});
    }
}

TEST_CASE("a store takes rows that lie apart and refuses columns that do") {
    pool_memory memory(4096, 8);
    const shape s{.layers = 2, .query_heads = 2, .kv_heads = 2, .head_dim = 2, .sequences = 2};
    auto made = store::make(s, {element::f32, element::f32, 2}, memory.pool());
    REQUIRE(made);
    const matrix wide = counted(3, 10);
    const pare::matrix_view<const float> rows = wide.view().block(0, 3, 3, 4);
    REQUIRE(made->append(1, 1, rows, rows, 0));
    CHECK(sorted_tokens_of(made->view(1, 1, 1)).back().key == std::vector<float>{25, 26});
    CHECK(made->view(0, 1, 1).size == 0);
    CHECK(made->view(1, 0, 1).size == 0);

    const matrix square = counted(4, 4);
    const std::size_t in_use = memory.pool().bytes_in_use();
    const auto code = [&](std::size_t sequence, std::size_t layer, auto keys, auto values,
                          std::size_t position) {
        const auto added = made->append(sequence, layer, keys, values, position);
        return added ? errc::not_found : added.error().code;
    };
    const auto v = square.view();
    CHECK(code(0, 0, v.transposed(), v, 0) == errc::not_contiguous);
    CHECK(code(0, 0, v, v.transposed(), 0) == errc::not_contiguous);
    CHECK(code(0, 0, v.block(0, 0, 4, 2), v.block(0, 0, 4, 2), 0) == errc::shape_mismatch);
    CHECK(code(0, 0, v, v.block(0, 0, 3, 4), 0) == errc::shape_mismatch);
    CHECK(code(2, 0, v, v, 0) == errc::invalid_argument);
    CHECK(code(0, 2, v, v, 0) == errc::invalid_argument);
    CHECK(code(0, 0, v, v, 0xfffffffcu) == errc::invalid_argument);
    CHECK(code(0, 0, v, v, static_cast<std::size_t>(-2)) == errc::invalid_argument);
    CHECK(memory.pool().bytes_in_use() == in_use);
    CHECK(made->append(0, 0, v, v, 0xfffffffbu));
    CHECK(made->append(0, 0, v.block(0, 0, 0, 4), v.block(0, 0, 0, 4), 0));
    CHECK(positions_of(made->view(0, 0, 0)).back() == 0xfffffffeu);
}

TEST_CASE("a store is not made of shapes and layouts that do not fit") {
    pool_memory memory(4096, 8);
    const auto code = [&](const shape& s, std::vector<block_layout> layouts) {
        const auto made = store::make(s, layouts, memory.pool());
        return made ? errc::not_found : made.error().code;
    };
    const block_layout f32{element::f32, element::f32, 6};
    CHECK(code(small, {f32}) == errc::not_found);
    CHECK(code(small, {f32, f32}) == errc::not_found);
    CHECK(code(small, {f32, f32, f32}) == errc::shape_mismatch);
    CHECK(code(small, {}) == errc::shape_mismatch);
    for (std::size_t shape::*member : {&shape::layers, &shape::query_heads, &shape::kv_heads,
                                       &shape::head_dim, &shape::sequences}) {
        shape none = small;
        none.*member = 0;
        CHECK(code(none, {f32}) == errc::invalid_argument);
    }
    shape s = small;
    s.query_heads = 3;
    CHECK(code(s, {f32}) == errc::invalid_argument);
    s = small, s.head_dim = 7;
    CHECK(code(s, {{element::f32, element::f32, 7}}) == errc::invalid_argument);
    CHECK(code(small, {f32, {element::f32, element::f32, 8}}) == errc::invalid_argument);
    s = small, s.head_dim = 64;  // a block of 16 KiB
    CHECK(code(s, {{element::f32, element::f32, 64}}) == errc::invalid_argument);
}

TEST_CASE("an append that the pool cannot hold leaves every token and every page") {
    pool_memory memory(
        pare::kv::pool::page_bytes_for(store::stored_bytes({element::f32, element::f32, dim})), 12);
    auto made = store::make(small, {element::f32, element::f32, dim}, memory.pool());
    REQUIRE(made);
    const matrix rows = counted(100, 12);
    REQUIRE(made->append(0, 0, rows.view(), rows.view(), 0));  // 8 blocks, and pages of rows
    const auto before = sorted_tokens_of(made->view(0, 0, 1));
    const std::size_t in_use = memory.pool().bytes_in_use();
    for (const std::size_t layer : {0u, 1u}) {
        const auto added = made->append(0, layer, rows.view(), rows.view(), 100);
        REQUIRE(!added);
        CHECK(added.error().code == errc::out_of_memory);
        CHECK(sorted_tokens_of(made->view(0, 0, 1)) == before);
        CHECK(made->view(0, 1, 0).size + made->view(0, 1, 1).size == 0);
        CHECK(memory.pool().bytes_in_use() == in_use);
    }
    CHECK(
        made->append(0, 0, rows.view().block(0, 0, 28, 12), rows.view().block(0, 0, 28, 12), 100));
}

TEST_CASE("a fork takes ledger rows alone until one side writes") {
    // Pages of one block each: what is in use is what was taken.
    const block_layout layout{element::f32, element::f32, dim};
    pool_memory memory(pare::kv::pool::page_bytes_for(store::stored_bytes(layout)), 40);
    const std::size_t page = memory.pool().page_bytes();
    shape s = small;
    s.layers = 1;
    auto made = store::make(s, layout, memory.pool());
    REQUIRE(made);
    const matrix rows = counted(40, 12);
    REQUIRE(made->append(0, 0, rows.view(), rows.view(), 0));
    REQUIRE(made->fork(0, 3));
    const std::size_t shared = memory.pool().bytes_in_use();
    CHECK(shared <= 6 * page);  // 4 blocks, 8 rows

    const auto before = sorted_tokens_of(made->view(0, 0, 0));
    const std::uint32_t last = 39, first = 0;
    REQUIRE(made->remove(3, 0, 0, {&last, 1}));  // what is cut off costs no copy
    CHECK(memory.pool().bytes_in_use() == shared);
    REQUIRE(made->remove(3, 0, 0, {&first, 1}));
    CHECK(memory.pool().bytes_in_use() == shared + page);
    REQUIRE(made->append(3, 0, rows.view().block(0, 0, 1, 12), rows.view().block(0, 0, 1, 12), 50));
    CHECK(memory.pool().bytes_in_use() == shared + 3 * page);  // head 0 and head 1
    CHECK(sorted_tokens_of(made->view(0, 0, 0)) == before);
    REQUIRE(made->fork(0, 3));
    CHECK(memory.pool().bytes_in_use() == shared);
    CHECK(sorted_tokens_of(made->view(3, 0, 0)) == before);
    made->clear(0);
    CHECK(sorted_tokens_of(made->view(3, 0, 0)) == before);
    CHECK(made->fork(3, 3));
    CHECK(sorted_tokens_of(made->view(3, 0, 0)) == before);
    CHECK(made->fork(4, 0).error().code == errc::invalid_argument);
    CHECK(made->fork(0, 4).error().code == errc::invalid_argument);
    made->clear(3);
    CHECK(memory.pool().bytes_in_use() == 0);
}

TEST_CASE("a store moves with its tokens and gives its pages back at its end") {
    pool_memory memory(4096, 8);
    const block_layout layout{element::f16, element::f16, dim};
    const matrix rows = counted(40, 12);
    {
        auto one = store::make(small, layout, memory.pool());
        auto two = store::make(small, layout, memory.pool());
        REQUIRE((one && two));
        REQUIRE(one->append(0, 1, rows.view(), rows.view(), 5));
        const auto before = sorted_tokens_of(one->view(0, 1, 1));
        const std::size_t of_one = memory.pool().bytes_in_use();
        REQUIRE(two->append(2, 0, rows.view(), rows.view(), 0));

        store moved(std::move(*one));
        CHECK(sorted_tokens_of(moved.view(0, 1, 1)) == before);
        *two = std::move(moved);  // its own tokens go
        CHECK(memory.pool().bytes_in_use() == of_one);
        CHECK(sorted_tokens_of(two->view(0, 1, 1)) == before);
        store& self = *two;
        self = std::move(*two);
        CHECK(sorted_tokens_of(two->view(0, 1, 1)) == before);
        REQUIRE(two->append(0, 1, rows.view(), rows.view(), 45));
        CHECK(two->view(0, 1, 0).size == 80);
    }
    CHECK(memory.pool().bytes_in_use() == 0);
}
