// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/core/thread_pool.hpp>

#include "support/catch.hpp"

#include <atomic>
#include <chrono>
#include <thread>
#include <type_traits>
#include <vector>

using pare::thread_pool;

namespace {

// Runs a loop and returns how often each index was visited; -1 for a range that breaks the concept.
std::vector<int> visits(thread_pool& pool, std::size_t n, std::size_t grain) {
    std::vector<int> visited(n);
    std::atomic<bool> lawful = true;
    pool.parallel_for(n, grain, [&](std::size_t begin, std::size_t end) {
        if (begin >= end || end > n || begin % grain != 0 || (end % grain != 0 && end != n))
            lawful = false;
        else
            for (std::size_t i = begin; i < end; ++i) ++visited[i];
    });
    return lawful ? visited : std::vector<int>(n, -1);
}

// Waits until `word` is `value`; false after two minutes, so that a failure does not hang.
bool reaches(const std::atomic<int>& word, int value) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(2);
    while (word.load() < value) {
        if (std::chrono::steady_clock::now() > deadline) return false;
        std::this_thread::yield();
    }
    return true;
}

}  // namespace

TEST_CASE("a thread pool visits every index once in ranges of whole grains") {
    for (const std::size_t n_threads : {1u, 2u, 3u, 8u}) {
        thread_pool pool(n_threads);
        CHECK(pool.size() == n_threads);
        for (const std::size_t n : {0u, 1u, 2u, 7u, 64u, 65u, 1000u})
            for (const std::size_t grain : {1u, 2u, 3u, 16u, 999u, 5000u})
                CHECK(visits(pool, n, grain) == std::vector<int>(n, 1));
    }
}

TEST_CASE("a thread pool of unknown size is the caller alone") {
    thread_pool pool(0);
    CHECK(pool.size() == 1);
    std::thread::id ran_on;
    pool.parallel_for(10, 1,
                      [&](std::size_t, std::size_t) { ran_on = std::this_thread::get_id(); });
    CHECK(ran_on == std::this_thread::get_id());
}

TEST_CASE("ranges of a thread pool run at the same time") {
    thread_pool pool(3);
    std::atomic<int> arrived = 0, together = 0;
    pool.parallel_for(3, 1, [&](std::size_t, std::size_t) {
        ++arrived;
        together += reaches(arrived, 3);
    });
    CHECK(together == 3);
}

TEST_CASE("a thread pool survives many short loops in a row") {
    thread_pool pool(3);
    std::vector<int> visited(24);
    for (int repeat = 0; repeat < 20000; ++repeat)
        pool.parallel_for(visited.size(), 1 + static_cast<std::size_t>(repeat) % 12,
                          [&](std::size_t begin, std::size_t end) {
                              for (std::size_t i = begin; i < end; ++i) ++visited[i];
                          });
    CHECK(visited == std::vector<int>(24, 20000));
}

TEST_CASE("a thread pool wakes after its threads fell asleep") {
    thread_pool pool(2);
    for (int repeat = 0; repeat < 5; ++repeat) {
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        std::atomic<int> arrived = 0, together = 0;
        pool.parallel_for(2, 1, [&](std::size_t, std::size_t) {
            ++arrived;
            together += reaches(arrived, 2);
        });
        CHECK(together == 2);
    }
}

TEST_CASE("the memory written by a loop is seen after it") {
    thread_pool pool(2);
    std::vector<std::size_t> squares(1000);
    for (std::size_t factor = 1; factor < 200; ++factor) {
        pool.parallel_for(squares.size(), 10, [&](std::size_t begin, std::size_t end) {
            for (std::size_t i = begin; i < end; ++i) squares[i] = factor * i;
        });
        std::size_t wrong = 0;
        for (std::size_t i = 0; i < squares.size(); ++i) wrong += squares[i] != factor * i;
        REQUIRE(wrong == 0);
    }
}

TEST_CASE("a loop inside a loop runs in its own thread") {
    thread_pool pool(2);
    std::atomic<int> inner = 0, moved = 0;
    pool.parallel_for(4, 1, [&](std::size_t, std::size_t) {
        const auto here = std::this_thread::get_id();
        pool.parallel_for(5, 1, [&](std::size_t begin, std::size_t end) {
            inner += static_cast<int>(end - begin);
            moved += std::this_thread::get_id() != here;
        });
    });
    CHECK(inner == 20);
    CHECK(moved == 0);
}

TEST_CASE("two threads may use one pool") {
    thread_pool pool(2);
    std::vector<int> a(100), b(100);
    const auto fill = [&](std::vector<int>& visited) {
        for (int repeat = 0; repeat < 500; ++repeat)
            pool.parallel_for(visited.size(), 7, [&](std::size_t begin, std::size_t end) {
                for (std::size_t i = begin; i < end; ++i) ++visited[i];
            });
    };
    std::thread other([&] { fill(a); });
    fill(b);
    other.join();
    CHECK(a == std::vector<int>(100, 500));
    CHECK(b == std::vector<int>(100, 500));
}

TEST_CASE("thread pools start and stop at once, used or not") {
    for (int repeat = 0; repeat < 200; ++repeat) {
        thread_pool pool(3);
        if (repeat % 2 != 0) CHECK(visits(pool, 5, 1) == std::vector<int>(5, 1));
    }
}

TEST_CASE("a thread pool takes a plain function and stays where it is") {
    static std::atomic<int> total;
    total = 0;
    thread_pool pool(2);
    pool.parallel_for(
        10, 2, +[](std::size_t begin, std::size_t end) { total += static_cast<int>(end - begin); });
    CHECK(total == 10);
    STATIC_REQUIRE(pare::executor<thread_pool>);
    STATIC_REQUIRE(!std::is_copy_constructible_v<thread_pool>);
    STATIC_REQUIRE(!std::is_move_constructible_v<thread_pool>);
}
