// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "gemm_laws.hpp"

#include <type_traits>

namespace pare::testing {
namespace {

using packed::coded;

using dense_i8 = packed_matrix<1, 1, coded<code_i8>>;
using groups_i8 = packed_matrix<2, 4, coded<code_i8>>;
using groups_i4 = packed_matrix<3, 7, coded<code_i4, 32, true>>;
using tiles_nf4 = hinm_matrix<2, 4, 24, coded<code_nf4, 64>>;
using blocks_e4m3 = block_matrix<8, coded<code_e4m3>>;

template <class Packed>
void check_coded() {
    check_rounding<Packed>();
    check_executors<Packed>();
    check_gemv<Packed>();
    // The numbers of nf4 are not whole, so sums of them are not exact.
    if constexpr (!std::is_same_v<Packed, tiles_nf4>) {
        check_every_tail<Packed>();
        check_fences<Packed>();
        for (const auto& [tokens, rows, cols] :
             {extents{1, 1030, 70}, {13, 511, 40}, {66, 513, 33}, {3, 17, 5000}, {40, 5, 2500}})
            CHECK(gemm_is_exact<Packed>({tokens, rows, cols}, tokens));
    }
}

TEST_CASE("gemm and gemv of dense i8 weights") { check_coded<dense_i8>(); }
TEST_CASE("gemm and gemv of 2:4 i8 weights") { check_coded<groups_i8>(); }
TEST_CASE("gemm and gemv of 3:7 i4 weights with zero points") { check_coded<groups_i4>(); }
TEST_CASE("gemm and gemv of hinm nf4 weights") { check_coded<tiles_nf4>(); }
TEST_CASE("gemm and gemv of block e4m3 weights") { check_coded<blocks_e4m3>(); }

}  // namespace
}  // namespace pare::testing
