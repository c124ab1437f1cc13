// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_COMPRESS_RANKS_HPP
#define PARE_EXAMPLES_COMPRESS_RANKS_HPP

#include <cstddef>
#include <functional>
#include <span>

namespace compressor {

/// The processes that share a run: this one alone. main_mpi.cpp has more.
class ranks {
  public:
    virtual ~ranks() = default;
    virtual std::size_t index() const { return 0; }
    virtual std::size_t size() const { return 1; }
    /// Does this rank's share. @throws tools::failure on every rank when one fails, when all ended
    virtual void share(const std::function<void()>& work) { work(); }
    /// Each element becomes the sum of all ranks'.
    virtual void add_up(std::span<double> /*values*/) {}
};

}  // namespace compressor

#endif  // PARE_EXAMPLES_COMPRESS_RANKS_HPP
