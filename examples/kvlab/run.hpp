// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_KVLAB_RUN_HPP
#define PARE_EXAMPLES_KVLAB_RUN_HPP

#include "options.hpp"
#include "report.hpp"

namespace kvlab {

/// The trace of the model and text that the options name. @throws tools::failure
trace record_source(const options& o, std::string& name);
/// Every cache with every budget over one trace. @throws tools::failure
study replay_all(const trace& t, const std::string& name, const options& o);

/// Does what the command line asks for, on stdout. @throws tools::failure
void run(const options& o);

}  // namespace kvlab

#endif  // PARE_EXAMPLES_KVLAB_RUN_HPP
