// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "timing.hpp"

#include <algorithm>
#include <chrono>
#include <iterator>

namespace tools {

namespace {

double seconds_of(const std::function<void()>& run) {
    using clock = std::chrono::steady_clock;
    const auto before = clock::now();
    run();
    return std::chrono::duration<double>(clock::now() - before).count();
}

}  // namespace

std::vector<double> median_seconds(std::span<const std::function<void()>> runs) {
    std::vector<std::vector<double>> seconds(runs.size());
    for (const auto& run : runs) run();
    const double wanted = 0.25 * static_cast<double>(runs.size());
    for (double total = 0.0; seconds[0].size() < 5 || total < wanted;)
        for (std::size_t i = 0; i < runs.size(); ++i) {
            seconds[i].push_back(seconds_of(runs[i]));
            total += seconds[i].back();
        }
    std::vector<double> medians;
    for (auto& of_run : seconds) {
        const auto middle = of_run.begin() + std::ssize(of_run) / 2;
        std::nth_element(of_run.begin(), middle, of_run.end());
        medians.push_back(*middle);
    }
    return medians;
}

}  // namespace tools
