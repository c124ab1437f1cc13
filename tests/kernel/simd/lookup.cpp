// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/kernel/simd/lookup.hpp>

#include "support/catch.hpp"
#include "support/fenced_array.hpp"

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

#if PARE_HAS_SIMD

using pare::simd::lanes, pare::simd::lookup, pare::simd::veci;
using pare::testing::fence;

namespace {

// Every index in every lane: how many lanes get other bits than the table's. `dirt` lies above the
// index, turned a bit further in each lane.
template <int M>
int n_wrong(fence side, std::uint32_t dirt) {
    std::array<std::uint32_t, lookup<M>::width> bits{};
    std::array<float, lookup<M>::width> values{};
    for (std::uint32_t i = 0; i < bits.size(); ++i) {
        bits[i] = 0x7f7ffffeu + i;  // large, infinite, NaN
        values[i] = std::bit_cast<float>(bits[i]);
    }
    pare::testing::fenced_array<float> table(std::span<const float>(values), side);
    const lookup<M> group(table.data());

    int wrong = 0;
    for (std::uint32_t first = 0; first < M; ++first) {
        std::array<std::uint32_t, lanes> index{}, picked{};
        std::array<float, lanes> floats{};
        for (std::uint32_t l = 0; l < lanes; ++l)
            index[l] = (first + l) % M | std::rotl(dirt, static_cast<int>(l))
                                             << std::bit_width(static_cast<unsigned>(M - 1));
        group(veci::load_unaligned(index.data())).store_unaligned(floats.data());
        picked = std::bit_cast<decltype(picked)>(floats);
        for (std::uint32_t l = 0; l < lanes; ++l) wrong += picked[l] != bits[(first + l) % M];
    }
    return wrong;
}

}  // namespace

TEMPLATE_TEST_CASE_SIG("lookup picks every index in every lane and reads no more than its width",
                       "", ((int M), M), 2, 3, 5, 8, 9, 17, 32) {
    for (const fence side : {fence::before, fence::after}) {
        CHECK(n_wrong<M>(side, 0) == 0);
        if (lookup<M>::takes_dirty_index) {
            CHECK(n_wrong<M>(side, 0x80000001u) == 0);
            CHECK(n_wrong<M>(side, 0xffffffffu) == 0);
        }
    }
}

#endif
