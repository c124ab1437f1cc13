// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "linear_as.hpp"

template std::unique_ptr<tools::linear> tools::make_linear_as<float>(
    pare::matrix_view<const float>, const tools::recipe&, const pare::prune::calibration&,
    pare::thread_pool&);
template std::unique_ptr<tools::linear> tools::open_linear_as<float>(
    const std::shared_ptr<const pare::io::safetensors_reader>&, const std::string&,
    pare::layer_report);
