// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "linear_as.hpp"

template std::unique_ptr<tools::linear> tools::make_linear_as<pare::bf16>(
    pare::matrix_view<const float>, const tools::recipe&, const pare::prune::calibration&,
    pare::thread_pool&);
