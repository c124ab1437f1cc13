// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "guarded_buffer.hpp"

#include "catch.hpp"

#include <cstdint>

using pare::testing::guarded_buffer;

TEST_CASE("a guarded buffer places its zeroed elements at the misalignment asked for") {
    for (std::size_t misalignment = 0; misalignment < 64; misalignment += sizeof(float)) {
        guarded_buffer<float> buffer(7, misalignment);
        CHECK(reinterpret_cast<std::uintptr_t>(buffer.data()) % 64 == misalignment);
        for (const float x : buffer) CHECK(x == 0.0f);
    }
}

TEST_CASE("a guarded buffer notices a write just outside and none inside") {
    guarded_buffer<float> buffer(5, 4);
    for (float& x : buffer) x = 1.0f;
    CHECK(buffer.intact());

    SECTION("before") { *reinterpret_cast<unsigned char*>(buffer.data() - 1) = 0; }
    SECTION("after") { *reinterpret_cast<unsigned char*>(buffer.data() + 5) = 0; }
    SECTION("a vector's width after") {
        *reinterpret_cast<unsigned char*>(buffer.data() + 5 + 15) = 0;
    }
    CHECK_FALSE(buffer.intact());
}

TEST_CASE("an empty guarded buffer guards a point") {
    guarded_buffer<float> buffer(0);
    CHECK(buffer.intact());
    *reinterpret_cast<unsigned char*>(buffer.data()) = 0;
    CHECK_FALSE(buffer.intact());
}
