// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "linear_as.hpp"

std::vector<tools::stored_type> tools::stored_as_f16() {
    return {stored_as<pare::f16>(codec_kind::f16)};
}
