// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "gemm_laws.hpp"

TEST_CASE("gemm and gemv of f16 weights") { pare::testing::check_n_m_laws<pare::f16>(); }
