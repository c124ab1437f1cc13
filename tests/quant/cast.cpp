// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/quant/cast.hpp>

#include "support/catch.hpp"

using pare::quant::cast;

TEST_CASE("cast stores a weight as the nearest value of its type") {
    STATIC_REQUIRE(cast<float>{}.encode(0.1f) == 0.1f);
    STATIC_REQUIRE(cast<pare::f16>{}.encode(1.0f + 0x1p-11f) == pare::f16{0x3c00});
    STATIC_REQUIRE(cast<pare::f16>{}.encode(1.0f + 0x1.8p-11f) == pare::f16{0x3c01});
    STATIC_REQUIRE(cast<pare::bf16>{}.encode(1.0f + 0x1.8p-8f) == pare::bf16{0x3f81});
    STATIC_REQUIRE(cast<pare::f16>{}.encode(0.0f) == pare::f16{0});
}

TEST_CASE("cast is a codec for each storage type") {
    STATIC_REQUIRE(pare::quant::codec<cast<float>>);
    STATIC_REQUIRE(pare::quant::codec<cast<pare::f16>>);
    STATIC_REQUIRE(pare::quant::codec<cast<pare::bf16>>);
    STATIC_REQUIRE(!pare::quant::codec<int>);
}
