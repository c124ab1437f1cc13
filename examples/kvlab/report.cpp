// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "report.hpp"

#include "common/terminal.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <utility>

namespace kvlab {

using tools::fixed;

kept_map::kept_map(std::string policy, std::size_t n_tokens)
    : policy_(std::move(policy)), n_tokens_(n_tokens), n_cells_(std::min(n_tokens, max_cells)),
      visible_(n_cells_ * n_cells_), possible_(visible_.size()) {
    for (std::size_t i = 0; i < n_tokens; ++i)
        for (std::size_t p = 0; p <= i; ++p) ++possible_[cell_of(i) * n_cells_ + cell_of(p)];
}

void kept_map::add(std::size_t query, std::span<const std::uint32_t> positions) {
    for (const std::uint32_t p : positions) ++visible_[cell_of(query) * n_cells_ + cell_of(p)];
}

double kept_map::share(std::size_t query_cell, std::size_t position_cell) const {
    const std::size_t cell = query_cell * n_cells_ + position_cell;
    return visible_[cell] == 0
               ? 0.0
               : static_cast<double>(visible_[cell]) / static_cast<double>(possible_[cell]);
}

std::string title(const study& s) {
    std::array<char, 128> numbers;
    std::snprintf(numbers.data(), numbers.size(),
                  ": %zu layers, %zu query and %zu KV heads of %zu, %zu tokens", s.shape.n_layers,
                  s.shape.n_heads, s.shape.n_kv_heads, s.shape.head_dim, s.n_tokens);
    return s.source + numbers.data();
}

std::vector<std::vector<std::string>> rows(const study& s) {
    std::vector<std::vector<std::string>> cells{
        {"policy", "budget", "mass", "regret", "output error", "peak bytes", "of full", "ms"}};
    for (const outcome& o : s.outcomes) {
        const double share = static_cast<double>(o.peak_bytes) / static_cast<double>(o.full_bytes);
        cells.push_back({o.policy, o.budget == 0 ? "all" : std::to_string(o.budget),
                         fixed(100 * o.mass, 2) + " %", fixed(100 * o.regret(), 2) + " %",
                         fixed(o.output_error, 4), std::to_string(o.peak_bytes),
                         fixed(100 * share, 1) + " %", fixed(1000 * o.seconds, 1)});
    }
    return cells;
}

std::string table(const study& s) { return tools::format_table(rows(s)); }

std::string csv(const study& s) {
    std::string text =
        "policy,budget,mass,oracle,regret,output_error,peak_bytes,full_bytes,seconds\n";
    for (const outcome& o : s.outcomes) {
        std::array<char, 256> numbers;
        std::snprintf(numbers.data(), numbers.size(), ",%zu,%.9g,%.9g,%.9g,%.9g,%zu,%zu,%.6g\n",
                      o.budget == 0 ? s.n_tokens : o.budget, o.mass, o.oracle, o.regret(),
                      o.output_error, o.peak_bytes, o.full_bytes, o.seconds);
        text.append(o.policy).append(numbers.data());
    }
    return text;
}

}  // namespace kvlab
