// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PRUNE_QUERY_DRIVEN_HPP
#define PARE_PRUNE_QUERY_DRIVEN_HPP

#include "../core/tensor_view.hpp"

#include <cstddef>
#include <span>

namespace pare::prune::inline PARE_ARCH_NAMESPACE {

/// The importance of channel c to an attention head, |Q[:, c]|^2 |K[:, c]|^2: what it adds to the
/// logits of all pairs of tokens, in the Frobenius norm, squared. Xu et al., "ThinK",
/// arXiv:2407.21018. kv::think cuts cached keys by it; of weights, rows c of W_q and W_k go
/// together, where keys are rotated those of a pair, whose scores add up.
struct query_driven {
    /// scores (head_dim) from energies |Q[:, c]|^2 and |K[:, c]|^2; without the former the latter.
    /// Scores may be the memory of the keys'.
    static void score(std::span<const float> queries, std::span<const float> keys,
                      std::span<float> scores) noexcept {
        for (std::size_t c = 0; c < scores.size(); ++c)
            scores[c] = queries.empty() ? keys[c] : queries[c] * keys[c];
    }

    /// The energies (head_dim) of what weights make of calibration inputs X, before any rotation:
    /// w X^T X w^T, added up over the heads of weights (heads * head_dim, features), for queries
    /// those that share a key. gram (features, features) is X^T X. @pre shapes agree
    static void energies(matrix_view<const float> weights, matrix_view<const float> gram,
                         std::span<float> energies) noexcept {
        for (float& e : energies) e = 0.0f;
        for (std::size_t r = 0; r < weights.rows(); ++r) {
            double energy = 0.0;
            for (std::size_t i = 0; i < weights.cols(); ++i) {
                double sum = 0.0;
                for (std::size_t j = 0; j < weights.cols(); ++j)
                    sum += static_cast<double>(gram(i, j)) * static_cast<double>(weights(r, j));
                energy += sum * static_cast<double>(weights(r, i));
            }
            energies[r % energies.size()] += static_cast<float>(energy);
        }
    }
};

}  // namespace pare::prune::inline PARE_ARCH_NAMESPACE

#endif  // PARE_PRUNE_QUERY_DRIVEN_HPP
