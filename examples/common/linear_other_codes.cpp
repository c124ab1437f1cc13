// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "linear_as.hpp"

std::vector<tools::stored_type> tools::stored_as_other_codes() {
    using namespace pare;
    using packed::coded;
    return {stored_as<coded<code_i2, 32>>(codec_kind::i2),
            stored_as<coded<code_i2, 32, true>>(codec_kind::i2),
            stored_as<coded<code_nf4, 32>>(codec_kind::nf4),
            stored_as<coded<code_nf4, 64>>(codec_kind::nf4),
            stored_as<coded<code_e4m3>>(codec_kind::e4m3),
            stored_as<coded<code_e5m2>>(codec_kind::e5m2)};
}
