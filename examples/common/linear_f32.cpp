// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "linear_as.hpp"

std::vector<tools::stored_type> tools::stored_as_f32() {
    return {stored_as<float>(codec_kind::f32)};
}
