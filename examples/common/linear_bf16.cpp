// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "linear_as.hpp"

std::vector<tools::stored_type> tools::stored_as_bf16() {
    return {stored_as<pare::bf16>(codec_kind::bf16)};
}
