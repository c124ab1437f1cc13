// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "gemm_laws.hpp"

namespace pare::testing {
namespace {

// Every number of rows, every type.
TEST_CASE("gemm and gemv of block weights") {
    check_gemm_laws(
        [](auto law) {
            law.template operator()<block_matrix<4, float>>();
            law.template operator()<block_matrix<8, float>>();
            law.template operator()<block_matrix<8, f16>>();
            law.template operator()<block_matrix<16, bf16>>();
            law.template operator()<block_matrix<32, float>>();
        },
        [](auto law) {
            law.template operator()<block_matrix<4, f16>>();
            law.template operator()<block_matrix<16, float>>();
        });
}

}  // namespace
}  // namespace pare::testing
