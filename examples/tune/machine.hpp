// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_TUNE_MACHINE_HPP
#define PARE_EXAMPLES_TUNE_MACHINE_HPP

#include <pare/tune/roofline.hpp>

#include <cstddef>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

namespace tuner {

/// Tells the time of work on so many threads, in seconds: of one the processor's, which being
/// interrupted does not count for.
struct stopwatch {
    std::size_t threads;

    double operator()() const noexcept;
};

/// What this machine can do at most, measured when it is first asked for.
class machine {
  public:
    /// @param bytes        of the weights that are read over and over, all threads together
    /// @param of_integers  multiplied and added: bytes, not floats
    pare::tune::ceilings ceilings(std::size_t threads, std::size_t bytes, bool of_integers);

  private:
    double bytes_per_second(std::size_t threads, std::size_t bytes);
    double multiply_adds_per_second(std::size_t threads, bool of_integers);

    std::vector<std::int32_t> memory_;
    std::map<std::pair<std::size_t, std::size_t>, double> read_;   // (threads, bytes)
    std::map<std::pair<std::size_t, bool>, double> multiply_add_;  // (threads, of integers)
};

}  // namespace tuner

#endif  // PARE_EXAMPLES_TUNE_MACHINE_HPP
