// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_COMMON_TERMINAL_HPP
#define PARE_EXAMPLES_COMMON_TERMINAL_HPP

#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

namespace tools {

/// A bar on stderr while it lives; nothing where stderr is no terminal. NO_COLOR and TERM=dumb are
/// respected.
class progress {
  public:
    /// @param total  steps to come; advance() tells of one or more of them
    progress(std::string label, std::size_t total);
    ~progress();
    progress(const progress&) = delete;
    progress& operator=(const progress&) = delete;

    void advance(std::size_t steps = 1);

  private:
    void draw() const;

    std::string label_;
    std::size_t total_;
    std::size_t done_ = 0;
    bool shown_;
    std::chrono::steady_clock::time_point next_draw_{};
};

/// A table's rows of equal length, the header first.
using cells = std::vector<std::vector<std::string>>;

/// The first column flush left, the others flush right. UTF-8 is not counted:
/// ASCII only.
std::string format_table(const cells& rows);

/// A number with a fixed count of decimals.
std::string fixed(double number, int decimals);
/// "12.3 %"
std::string percent(double share);

}  // namespace tools

#endif  // PARE_EXAMPLES_COMMON_TERMINAL_HPP
