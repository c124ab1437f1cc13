// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_COMPRESS_RUN_HPP
#define PARE_EXAMPLES_COMPRESS_RUN_HPP

#include "options.hpp"
#include "ranks.hpp"

namespace compressor {

/// Does what the command line says, of the layers this rank's share. @throws tools::failure; OUT is
/// then as it was
void run(const options& o, ranks& all);

}  // namespace compressor

#endif  // PARE_EXAMPLES_COMPRESS_RUN_HPP
