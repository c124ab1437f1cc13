// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_KVLAB_REPLAY_HPP
#define PARE_EXAMPLES_KVLAB_REPLAY_HPP

#include "trace.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace kvlab {

/// Attention over a trace with nothing evicted, by definition and in double: what every policy is
/// measured against. Takes 4 * layers * heads * tokens^2 bytes.
class full_attention {
  public:
    /// @param told  called after each layer
    explicit full_attention(
        const trace& t, const std::function<void()>& told = [] {});

    /// Of one query: the probabilities of positions 0 .. query.
    std::span<const float> probabilities(std::size_t layer, std::size_t head,
                                         std::size_t query) const {
        return row(probabilities_, layer, head, query);
    }
    /// Of one query, element n: the largest mass that n + 1 positions have, its own among them.
    std::span<const float> best(std::size_t layer, std::size_t head, std::size_t query) const {
        return row(best_, layer, head, query);
    }
    /// (heads * head_dim)
    std::span<const float> output(std::size_t layer, std::size_t query) const {
        const std::size_t width = n_heads_ * head_dim_;
        return std::span(outputs_).subspan((layer * n_tokens_ + query) * width, width);
    }
    /// Mean over queries, heads and layers of the best mass of `budget` + 1 positions.
    double oracle_mass(std::size_t budget) const;

  private:
    std::span<const float> row(const std::vector<float>& x, std::size_t layer, std::size_t head,
                               std::size_t query) const {
        return std::span(x).subspan(row_at(layer, head, query), query + 1);
    }
    std::size_t row_at(std::size_t layer, std::size_t head, std::size_t query) const {
        return (layer * n_heads_ + head) * (n_tokens_ * (n_tokens_ + 1) / 2) +
               query * (query + 1) / 2;
    }
    void attend(const trace& t, std::size_t layer, std::size_t head, std::size_t query);

    std::size_t n_layers_, n_heads_, head_dim_, n_tokens_;
    std::vector<float> probabilities_, best_;  // per layer and head a triangle
    std::vector<float> outputs_;               // (layers, tokens, heads * head_dim)
};

/// How a policy did on a trace. Masses are means over queries, heads and layers.
struct outcome {
    std::string policy;
    std::size_t budget = 0;  ///< tokens per KV head; 0: all
    double mass = 0.0;       ///< of the full probabilities on what a query could see
    /// The most that as many tokens could have, chosen for each query and head, its own among them:
    /// of a uniform budget the best `budget` + 1.
    double oracle = 0.0;
    /// |out - full out| / |full out| of a layer's output, root mean square over queries and layers.
    double output_error = 0.0;
    std::size_t peak_bytes = 0;  ///< of the cache
    std::size_t full_bytes = 0;  ///< of the same cache without a budget
    double seconds = 0.0;        ///< in append() and attend(), evictions included

    double regret() const { return std::max(0.0, oracle - mass); }  // but for rounding
};

/// Called with the positions that a KV head shows a query.
using observer = std::function<void(std::size_t query, std::size_t layer, std::size_t kv_head,
                                    std::span<const std::uint32_t> positions)>;

/// Runs a cache over a trace, token by token as decoding does. @param full  of this trace
/// @throws tools::failure when the library refuses the cache
outcome replay(const trace& t, const full_attention& full, const llm::cache_options& o,
               pare::thread_pool& run, const observer& seen);

}  // namespace kvlab

#endif  // PARE_EXAMPLES_KVLAB_REPLAY_HPP
