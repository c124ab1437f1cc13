// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_IO_SAFETENSORS_HPP
#define PARE_IO_SAFETENSORS_HPP

// The door of io/: safetensors_reader, safetensors_writer, load() for compressed layers,
// load_input_sums() for calibration.

#include "compressed.hpp"
#include "input_sums.hpp"
#include "safetensors_reader.hpp"
#include "safetensors_writer.hpp"

#endif  // PARE_IO_SAFETENSORS_HPP
