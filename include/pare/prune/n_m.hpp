// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PRUNE_N_M_HPP
#define PARE_PRUNE_N_M_HPP

#include "concepts.hpp"

#include <cstddef>

namespace pare::prune::inline PARE_ARCH_NAMESPACE {

/// Keeps the N best of every M consecutive weights of a row. When cols is no multiple of M the last
/// group is shorter and keeps min(N, its length). Zhou et al., "Learning N:M Fine-grained
/// Structured Sparse Neural Networks From Scratch", arXiv:2102.04010.
template <int N, int M>
struct n_m {
    static_assert(1 <= N && N <= M, "n_m<N, M> keeps at most M of M weights: 1 <= N <= M");
    static_assert(M <= 32, "n_m<N, M> supports groups of at most 32 weights: M <= 32");
    static constexpr int n = N;
    static constexpr int m = M;

    status check() const noexcept { return {}; }

    void select(matrix_view<const float> scores, mask_view kept) const noexcept {
        for (std::size_t r = 0; r < scores.rows(); ++r)
            for (std::size_t begin = 0; begin < scores.cols(); begin += M) {
                const std::size_t left = scores.cols() - begin;
                select_group(scores, kept, r, begin, begin + (left < M ? left : M));
            }
    }

  private:
    // A weight stays when fewer than N of its group are better, earlier ones winning ties.
    static void select_group(matrix_view<const float> scores, mask_view kept, std::size_t r,
                             std::size_t begin, std::size_t end) noexcept {
        for (std::size_t c = begin; c < end; ++c) {
            int better = 0;
            for (std::size_t other = begin; other < end; ++other)
                better +=
                    other < c ? scores(r, other) >= scores(r, c) : scores(r, other) > scores(r, c);
            kept.set(r, c, better < N);
        }
    }
};

static_assert(n_of_m_pattern<n_m<2, 4>>);

}  // namespace pare::prune::inline PARE_ARCH_NAMESPACE

#endif  // PARE_PRUNE_N_M_HPP
