// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "linear_as.hpp"

std::vector<tools::stored_type> tools::stored_as_i8() {
    using namespace pare;
    using packed::coded;
    return {stored_as<coded<code_i8>>(codec_kind::i8),
            stored_as<coded<code_i8, 32>>(codec_kind::i8),
            stored_as<coded<code_i8, 64>>(codec_kind::i8),
            stored_as<coded<code_i8, 128>>(codec_kind::i8)};
}
