// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/cache.hpp>
#include <pare/core/thread_pool.hpp>
#include <pare/kernel/convolution.hpp>
#include <pare/kernel/depthwise.hpp>
#include <pare/kernel/gemm.hpp>
#include <pare/kernel/lserve.hpp>
#include <pare/kernel/token_select.hpp>
#include <pare/kv/ada.hpp>
#include <pare/kv/cam.hpp>
#include <pare/kv/h2o.hpp>
#include <pare/kv/snapkv.hpp>
#include <pare/kv/zipvl.hpp>
#include <pare/octave/cross_frequency_partial.hpp>
#include <pare/octave/self_attention.hpp>

#include "support/catch.hpp"
#include "support/kv.hpp"
#include "support/layouts.hpp"
#include "support/matrix.hpp"

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>
#include <vector>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define PARE_TEST_SANITIZED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define PARE_TEST_SANITIZED
#endif
#endif

// Sanitizers bring their own allocator, other C libraries no way around the one replaced here.
#if defined(__GLIBC__) && !defined(PARE_TEST_SANITIZED)

namespace {
std::atomic<int> n_allocations = 0;
}

// Everything that allocates, operator new included, ends in one of these.
extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);

void* malloc(std::size_t size) {
    ++n_allocations;
    return __libc_malloc(size);
}
void* calloc(std::size_t n, std::size_t size) {
    ++n_allocations;
    return __libc_calloc(n, size);
}
void* realloc(void* memory, std::size_t size) {
    ++n_allocations;
    return __libc_realloc(memory, size);
}
void* aligned_alloc(std::size_t alignment, std::size_t size) {
    ++n_allocations;
    return __libc_memalign(alignment, size);
}
}

namespace {

using namespace pare::testing;

template <int N, int M, class T>
int allocations_of_gemm(std::size_t tokens, bool feature_major, auto& run) {
    constexpr std::size_t rows = 200, cols = 700;
    const packed_matrix<N, M, T> weights(matrix::uniform(rows, cols, 1), 2);
    const matrix x =
        feature_major ? matrix::uniform(cols, tokens, 3) : matrix::uniform(tokens, cols, 3);
    const matrix bias = matrix::uniform(1, rows, 4);
    matrix y(tokens, rows);
    const auto in = feature_major ? x.view().transposed() : x.view();
    const int before = n_allocations;
    const bool done = gemm(weights, in, y.view(), run, {.bias = bias.data()}).has_value();
    const int after = n_allocations;
    return done ? after - before : -1;
}

// Without it a compiler may leave out a pair of new and delete.
void* used(void* memory) {
    __asm__ volatile("" : "+r"(memory));
    return memory;
}

}  // namespace

TEST_CASE("the counter of these tests sees every way to allocate") {
    const auto counts = [](auto allocate) {
        const int before = n_allocations;
        allocate();
        return n_allocations > before;
    };
    CHECK(counts([] { std::free(used(std::malloc(10))); }));
    CHECK(counts([] { ::operator delete(used(::operator new(10))); }));
    CHECK(counts([] { used(matrix(2, 2).data().data()); }));
    CHECK(counts([] { used((*pare::buffer<float>::make(3)).data()); }));
}

TEST_CASE("gemm and gemv allocate nothing, on any executor") {
    pare::serial serial;
    pare::thread_pool pool(2);
    for (const std::size_t tokens : {1u, 8u, 12u, 13u, 64u, 100u})
        for (const bool feature_major : {false, true}) {
            CAPTURE(tokens, feature_major);
            CHECK(allocations_of_gemm<2, 4, float>(tokens, feature_major, serial) == 0);
            CHECK(allocations_of_gemm<2, 4, pare::f16>(tokens, feature_major, pool) == 0);
            CHECK(allocations_of_gemm<1, 1, pare::bf16>(tokens, feature_major, serial) == 0);
            CHECK(allocations_of_gemm<3, 7, float>(tokens, feature_major, pool) == 0);
        }
    const packed_matrix<2, 4, float> weights(matrix::uniform(33, 65, 1), 2);
    const matrix x = matrix::uniform(1, 65, 3);
    matrix y(1, 33);
    const int before = n_allocations;
    const bool done = gemv(weights, x.data(), y.data(), pool).has_value();
    const int after = n_allocations;
    CHECK(done);
    CHECK(after == before);
}

TEST_CASE("convolutions allocate nothing, on any executor") {
    constexpr pare::window over{.kernel = {3, 3}, .around = {1, 1, 1, 1}};
    const packed_matrix<2, 4, float> weights(matrix::uniform(30, 90, 1), 2);
    const matrix filters = matrix::uniform(30, 9, 3), x = matrix::uniform(10, 900, 4);
    matrix y(30, 900), z(30, 900);
    const pare::maps<const float> in(x.data().data(), {1, 10, 30, 30});
    const pare::maps<float> between(y.data().data(), {1, 30, 30, 30}),
        out(z.data().data(), {1, 30, 30, 30});
    std::vector<float> workspace(2 * pare::workspace_floats(over, in.extents()));
    pare::serial serial;
    pare::thread_pool pool(2);
    int done = 0;
    const int before = n_allocations;
    done += convolve(weights, over, in, between, workspace, serial).has_value();
    done += convolve(weights, over, in, between, workspace, pool).has_value();
    done += convolve_depthwise(filters.view(), over, between, out, serial).has_value();
    done += convolve_depthwise(filters.view(), over, between, out, pool).has_value();
    const int after = n_allocations;
    CHECK(done == 4);
    CHECK(after == before);
}

TEST_CASE("blocks in two resolutions allocate nothing, on any executor") {
    using layout = packed_matrix<2, 4, float>::layout;
    using attention = pare::octave::self_attention<layout>;
    const packed_matrix<2, 4, float> half(matrix::uniform(8, 16, 1), 2),
        whole(matrix::uniform(16, 8, 3), 4), both(matrix::uniform(16, 16, 5), 6),
        qkv(matrix::uniform(24, 8, 7), 8), projection(matrix::uniform(8, 8, 9), 10);
    const attention stage{
        .heads = 2, .query_key_value = qkv.view(), .projection = projection.view()};
    const pare::octave::cross_frequency_partial<layout, attention> block{
        {.high_to_high = half.view(), .high_to_low = half.view()},
        {&stage, 1},
        {.high_to_high = whole.view(), .low_to_high = both.view()}};
    const matrix x = matrix::uniform(16, 30 * 31, 11);
    matrix y(16, 30 * 31);
    const pare::maps<const float> in(x.data().data(), {1, 16, 30, 31});
    const pare::maps<float> out(y.data().data(), {1, 16, 30, 31});
    std::vector<float> workspace(block.workspace_floats(in.extents()));
    pare::serial serial;
    pare::thread_pool pool(2);
    int done = 0;
    const int before = n_allocations;
    done += block.forward(in, out, workspace, serial).has_value();
    done += block.forward(in, out, workspace, pool).has_value();
    const int after = n_allocations;
    CHECK(done == 2);
    CHECK(after == before);
}

TEST_CASE("a cache allocates nothing once it is made: append, attend, fork, truncate, clear") {
    namespace kv = pare::kv;
    constexpr kv::shape s{
        .layers = 2, .query_heads = 6, .kv_heads = 3, .head_dim = 16, .sequences = 2};
    using policy = kv::policy<kv::snapkv, kv::ada<>>;
    pool_memory memory(1 << 15, 32);
    auto cache = kv::cache<policy>::make(s, {kv::element::i4, kv::element::f16, 16},
                                         {.budget = {{40}}, .every = 3}, 50, memory.pool());
    REQUIRE(cache);
    pare::thread_pool threads(2);
    const matrix rows = matrix::uniform(50, 48, 1), queries = matrix::uniform(50, 96, 2);
    matrix out(50, 96);
    int done = 0;
    const int before = n_allocations;
    for (int step = 0; step < 20; ++step)
        for (std::size_t layer = 0; layer < 2; ++layer) {
            const std::size_t n = step % 10 == 0 ? 50 : 1;
            const auto kv_rows = rows.view().block(0, 0, n, 48);
            done += cache->append(layer, kv_rows, kv_rows).has_value();
            done += cache
                        ->attend(layer, queries.view().block(0, 0, n, 96),
                                 out.view().block(0, 0, n, 96), threads)
                        .has_value();
            done += cache->fork(0, 1).has_value();
        }
    done += cache->truncate(cache->length(0) - 1).has_value();
    cache->clear();
    const int after = n_allocations;
    CHECK(done == 121);
    CHECK(after == before);
}

namespace {

namespace kv = pare::kv;

// Decodes with merging through two tiers and a selector; how often anything was allocated.
template <class Selector>
int allocations_of_cache(const kv::block_layout& first, const kv::block_layout& second,
                         const Selector& how) {
    constexpr std::size_t dim = 16;
    constexpr kv::shape s{
        .layers = 2, .query_heads = 6, .kv_heads = 3, .head_dim = dim, .sequences = 2, .tiers = 2};
    using policy = kv::policy<kv::h2o, kv::zipvl, kv::cam>;
    const policy p{.budget = {0.95f, 80},
                   .sinks = 2,
                   .recent_share = 0.1f,
                   .every = 4,
                   .granularity = 2,
                   .tier_shares = {0.4f},
                   .merging = {.window = 4}};
    pool_memory memory(1 << 14, 96);
    auto cache =
        kv::cache<policy, Selector>::make(s, std::vector{first, second}, p, 50, memory.pool(), how);
    REQUIRE(cache);
    const matrix rows = matrix::uniform(50, 48, 1), queries = matrix::uniform(50, 96, 2);
    const std::vector<double> frequencies(dim / 2, 0.5);
    matrix out(50, 96);
    int done = 0;
    const int before = n_allocations;
    for (int step = 0; step < 60; ++step) {
        const std::size_t n = step < 4 ? 50 : 1;
        for (std::size_t layer = 0; layer < 2; ++layer) {
            const auto kv_rows = rows.view().block(0, 0, n, 48);
            done += cache->append(layer, kv_rows, kv_rows).has_value();
            done += cache
                        ->attend(layer, queries.view().block(0, 0, n, 96),
                                 out.view().block(0, 0, n, 96))
                        .has_value();
        }
        if (step % 20 == 19) {
            done += cache->fork(0, 1).has_value();
            done += cache->swap(0, 1).has_value();
            // Keys without all channels cannot be turned.
            done += cache->renumber({frequencies, kv::pairing::half_split}).has_value() ==
                    (second.key_channels == 0);
        }
    }
    const int after = n_allocations;
    CHECK(done == 60 * 4 + 3 * 3);
    CHECK(cache->tokens().view(0, 1, 2, 1).size > 0);
    return after - before;
}

}  // namespace

TEST_CASE("tiers, merging, selectors, swap and renumber allocate nothing either") {
    using kv::element;
    const pare::token_select vote{.tokens = 40, .first = 4, .recent = 8};
    kv::block_layout first{element::f16, element::f16, 16}, second{element::i8, element::i4, 16};
    second.keys_per_channel = true;
    CHECK(allocations_of_cache(first, second, vote) == 0);
    second.key_channels = 12;  // think
    CHECK(allocations_of_cache(first, second, vote) == 0);
    second.key_channels = 0;
    first.key_ranges = second.key_ranges = true;
    CHECK(allocations_of_cache(first, second, pare::lserve{.tokens = 96}) == 0);
}

#endif
