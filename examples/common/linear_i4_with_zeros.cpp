// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "linear_as.hpp"

std::vector<tools::stored_type> tools::stored_as_i4_with_zeros() {
    using namespace pare;
    using packed::coded;
    return {stored_as<coded<code_i4, 32, true>>(codec_kind::i4),
            stored_as<coded<code_i4, 64, true>>(codec_kind::i4),
            stored_as<coded<code_i4, 128, true>>(codec_kind::i4)};
}
