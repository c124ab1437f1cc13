// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/core/buffer.hpp>

#include "support/catch.hpp"

#include <cstdint>
#include <limits>
#include <utility>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define PARE_TEST_SANITIZED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define PARE_TEST_SANITIZED
#endif
#endif

using pare::buffer, pare::errc;

TEST_CASE("a buffer is zero-filled and starts on a cache line") {
    for (const std::size_t size : {1u, 15u, 16u, 17u, 1000u}) {
        auto made = buffer<double>::make(size);
        REQUIRE(made);
        CHECK(made->size() == size);
        CHECK(made->span().size() == size);
        CHECK(reinterpret_cast<std::uintptr_t>(made->data()) % buffer<double>::alignment == 0);
        for (const double x : std::as_const(*made).span()) CHECK(x == 0.0);
        (*made)[size - 1] = 3.0;
        CHECK(std::as_const(*made)[size - 1] == 3.0);
    }
}

TEST_CASE("a buffer of no elements owns nothing") {
    auto made = buffer<int>::make(0);
    REQUIRE(made);
    CHECK(made->size() == 0);
    CHECK(made->span().empty());
    CHECK(buffer<int>{}.size() == 0);
}

TEST_CASE("moving a buffer moves its memory") {
    auto made = buffer<int>::make(3);
    REQUIRE(made);
    (*made)[2] = 7;
    const int* const memory = made->data();
    const buffer<int> moved = *std::move(made);
    CHECK(moved.data() == memory);
    CHECK(moved[2] == 7);
}

TEST_CASE("a size whose bytes overflow is refused") {
    for (const std::size_t size : {std::numeric_limits<std::size_t>::max(),
                                   std::numeric_limits<std::size_t>::max() / 4 + 2}) {
        const auto made = buffer<int>::make(size);
        REQUIRE_FALSE(made);
        CHECK(made.error().code == errc::out_of_memory);
    }
}

#ifndef PARE_TEST_SANITIZED  // whose allocators end the program instead
TEST_CASE("an allocation that the system refuses is an error with its size") {
    const std::size_t size = std::numeric_limits<std::size_t>::max() / 4 / sizeof(int);
    const auto made = buffer<int>::make(size);
    REQUIRE_FALSE(made);
    CHECK(made.error().code == errc::out_of_memory);
    CHECK(made.error().where == size * sizeof(int));
}
#endif
