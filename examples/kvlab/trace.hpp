// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_KVLAB_TRACE_HPP
#define PARE_EXAMPLES_KVLAB_TRACE_HPP

#include "llm/model.hpp"

#include <pare/core/tensor_view.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace kvlab {

/// What attention reads of one sequence: queries and keys rotated by their positions, and values.
struct trace {
    /// (tokens, heads * head_dim) and, of keys and values, (tokens, kv_heads * head_dim).
    struct layer {
        std::vector<float> q, k, v;
    };

    llm::config shape;  ///< n_layers, n_heads, n_kv_heads and head_dim
    std::vector<llm::token> ids;
    std::vector<layer> layers;

    std::size_t n_tokens() const { return layers[0].q.size() / (shape.n_heads * shape.head_dim); }
    pare::matrix_view<const float> queries(std::size_t l) const { return rows(layers[l].q); }
    pare::matrix_view<const float> keys(std::size_t l) const { return rows(layers[l].k); }
    pare::matrix_view<const float> values(std::size_t l) const { return rows(layers[l].v); }

  private:
    pare::matrix_view<const float> rows(const std::vector<float>& x) const {
        return {x.data(), n_tokens(), x.size() / n_tokens()};
    }
};

/// Runs a model with a full cache. @pre ids are not empty, and below the vocabulary's size
/// @throws tools::failure for more of them than the model's context
trace record(const llm::model& m, std::span<const llm::token> ids);

/// A safetensors file: `ids` (tokens), I32; of layer N `layerN.q_rope` (tokens, heads, head_dim),
/// `layerN.k_rope` and `layerN.v` (tokens, kv_heads, head_dim), F32, F16 or BF16, all finite. Other
/// tensors are passed over; ids may be absent.
/// @throws tools::failure
trace read_trace(const std::string& file);
void write_trace(const trace& t, const std::string& file);

}  // namespace kvlab

#endif  // PARE_EXAMPLES_KVLAB_TRACE_HPP
