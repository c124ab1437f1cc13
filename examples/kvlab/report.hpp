// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_KVLAB_REPORT_HPP
#define PARE_EXAMPLES_KVLAB_REPORT_HPP

#include "replay.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace kvlab {

/// Which positions a KV head kept for which query, in at most 256 x 256 cells.
class kept_map {
  public:
    static constexpr std::size_t max_cells = 256;

    kept_map(std::string policy, std::size_t n_tokens);
    void add(std::size_t query, std::span<const std::uint32_t> positions);

    const std::string& policy() const { return policy_; }
    std::size_t n_tokens() const { return n_tokens_; }
    std::size_t n_cells() const { return n_cells_; }
    /// Share of a cell's pairs of a query and a position not after it that were visible; 0 where
    /// there are no such pairs.
    double share(std::size_t query_cell, std::size_t position_cell) const;

  private:
    std::size_t cell_of(std::size_t token) const { return token * n_cells_ / n_tokens_; }

    std::string policy_;
    std::size_t n_tokens_, n_cells_;
    std::vector<std::uint32_t> visible_, possible_;  // (cells of queries, cells of positions)
};

/// All that was replayed over one trace.
struct study {
    std::string source;  ///< what the trace is of
    llm::config shape;
    std::size_t n_tokens = 0;
    std::vector<outcome> outcomes;
    /// Of a uniform budget, and the mass it could keep.
    struct oracle {
        std::size_t budget;
        double mass;
    };
    std::vector<oracle> oracles;  ///< ascending
    std::size_t map_layer = 0, map_head = 0, map_budget = 0;
    std::vector<kept_map> maps;
};

/// "NAME: 4 layers, 6 query and 2 KV heads of 32, 512 tokens"
std::string title(const study& s);
/// The numbers as text: a header, then a row per outcome.
std::vector<std::vector<std::string>> rows(const study& s);
/// The same for the terminal.
std::string table(const study& s);
/// The same with more digits: a header, then a line per outcome.
std::string csv(const study& s);
/// One file that needs no other: figures, and what is shown in each.
std::string html(const study& s);

}  // namespace kvlab

#endif  // PARE_EXAMPLES_KVLAB_REPORT_HPP
