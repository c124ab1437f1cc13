// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "gemm_laws.hpp"

namespace pare::testing {
namespace {

// Tiles of one and of several sixteens, of parts of one, and larger than a block of sums; vectors
// alone (1:1); every type.
TEST_CASE("gemm and gemv of hinm weights") {
    check_gemm_laws(
        [](auto law) {
            law.template operator()<hinm_matrix<2, 4, 32, float>>();
            law.template operator()<hinm_matrix<2, 4, 4, f16>>();
            law.template operator()<hinm_matrix<1, 4, 40, bf16>>();
            law.template operator()<hinm_matrix<1, 1, 16, float>>();
            law.template operator()<hinm_matrix<3, 7, 24, float>>();
        },
        [](auto law) {
            law.template operator()<hinm_matrix<2, 4, 64, f16>>();
            law.template operator()<hinm_matrix<2, 4, 600, float>>();
        });
}

}  // namespace
}  // namespace pare::testing
