// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/cuda/mma_sp.hpp>

#include "ptx.hpp"
#include "support/catch.hpp"

namespace mma_sp = pare::cuda::mma_sp;
namespace ptx = pare::testing::ptx;

TEST_CASE("each slot of A is where the instruction looks for its row and its four columns") {
    bool held[32][8] = {};
    for (int row = 0; row < 16; ++row)
        for (int slot = 0; slot < 16; ++slot) {
            const auto at = mma_sp::a(row, slot);
            CAPTURE(row, slot, at.lane, at.element);
            REQUIRE((at.lane < 32 && at.element < 8));
            CHECK(ptx::a_row(at.lane, at.element) == row);
            CHECK(ptx::a_first_col(at.lane, at.element) == slot / 2 * 4);
            CHECK(at.element % 2 == slot % 2);
            CHECK_FALSE(held[at.lane][at.element]);
            held[at.lane][at.element] = true;
        }
}

TEST_CASE("the instruction finds the index of each slot of two tiles in one register") {
    for (int row = 0; row < 32; ++row)
        for (int slot = 0; slot < 16; ++slot) {
            const auto at = mma_sp::metadata(row, slot);
            CAPTURE(row, slot, at.lane, at.shift);
            REQUIRE((at.lane < 32 && at.shift < 32));
            for (int other_row = 0; other_row < 32; ++other_row)
                for (int other_slot = 0; other_slot < 16; ++other_slot) {
                    ptx::registers<std::uint32_t, 1> metadata = {};
                    metadata[static_cast<std::size_t>(at.lane)][0] = 3u << at.shift;
                    const int index = ptx::index_of(metadata, other_row / 16, other_row % 16,
                                                    other_slot / 2 * 4, other_slot % 2);
                    if (index != (row == other_row && slot == other_slot ? 3 : 0))
                        FAIL_CHECK("found by row " << other_row << ", slot " << other_slot);
                }
        }
}
