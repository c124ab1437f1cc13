// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EIGEN_INVERSE_HESSIAN_HPP
#define PARE_EIGEN_INVERSE_HESSIAN_HPP

#include "../core/buffer.hpp"
#include "../core/dtype.hpp"
#include "../core/tensor_view.hpp"

#include <Eigen/Cholesky>

#include <cstddef>
#include <span>

namespace pare::eigen::inline PARE_ARCH_NAMESPACE {

/// out = diagonal of (G + damping * mean(diag G) * I)^-1, in double by Cholesky: what
/// prune::optimal_brain reads. gram (features, features) is G = X^T X over the calibration tokens
/// (prune/observer.hpp makes it), of which the lower triangle is read; out (features). The damping
/// relative to the mean diagonal, 0.01 in the paper, is that of Frantar and Alistarh, "SparseGPT",
/// arXiv:2301.00774; it also covers features that never fire. Offline: allocates 8 bytes per
/// element of G, and what Eigen's blocked products need on top: when Eigen
/// gets no memory for that the program ends, with and without exceptions.
/// @return shape_mismatch, not_a_number, out_of_memory; invalid_argument for a damping that is
/// negative or not finite, a G whose diagonal has no positive mean, or a sum that is not positive
/// definite
inline status inverse_hessian_diagonal(matrix_view<const float> gram, float damping,
                                       std::span<float> out) noexcept {
    const std::size_t n = gram.rows();
    if (gram.cols() != n || out.size() != n)
        return error{errc::shape_mismatch, "the Gram matrix needs to be features x features"};
    if (!is_finite(damping) || damping < 0.0f)
        return error{errc::invalid_argument, "the damping needs to be finite and not negative"};
    if (n == 0) return {};

    constexpr Eigen::Index panel = 64;
    auto memory = buffer<double>::make(n * (n + panel + 1));
    if (!memory) return memory.error();
    using matrix_map = Eigen::Map<Eigen::MatrixXd>;
    const auto size = static_cast<Eigen::Index>(n);
    matrix_map hessian(memory->data(), size, size);
    Eigen::Map<Eigen::VectorXd> inverse(memory->data() + n * n, size);

    for (std::size_t r = 0; r < n; ++r)
        for (std::size_t c = 0; c <= r; ++c) {
            if (!is_finite(gram(r, c)))
                return error{errc::not_a_number, "the Gram matrix is NaN or infinite", r};
            hessian(static_cast<Eigen::Index>(r), static_cast<Eigen::Index>(c)) =
                static_cast<double>(gram(r, c));
        }
    const double mean = hessian.diagonal().mean();
    if (!(mean > 0.0))
        return error{errc::invalid_argument, "the Gram matrix is zero: no feature ever fired"};
    hessian.diagonal().array() += static_cast<double>(damping) * mean;

    constexpr error indefinite{errc::invalid_argument,
                               "the damped Gram matrix is not positive definite: more damping"};
    const Eigen::LLT<Eigen::Ref<Eigen::MatrixXd>> factor(hessian);
    if (factor.info() != Eigen::Success) return indefinite;
    // H^-1 = L^-T L^-1, so its diagonal is the squared norms of L^-1's columns. Those from column j
    // on are zero above row j, so a panel of them is solved in the lower right corner alone.
    for (Eigen::Index j = 0; j < size; j += panel) {
        const Eigen::Index rest = size - j, width = rest < panel ? rest : panel;
        matrix_map columns(memory->data() + n * n + n, rest, width);
        columns.setIdentity();
        hessian.bottomRightCorner(rest, rest).triangularView<Eigen::Lower>().solveInPlace(columns);
        inverse.segment(j, width) = columns.colwise().squaredNorm().transpose();
    }
    for (Eigen::Index i = 0; i < size; ++i)
        if (!is_finite(static_cast<float>(inverse(i)))) return indefinite;
    for (std::size_t i = 0; i < n; ++i)
        out[i] = static_cast<float>(inverse(static_cast<Eigen::Index>(i)));
    return {};
}

}  // namespace pare::eigen::inline PARE_ARCH_NAMESPACE

#endif  // PARE_EIGEN_INVERSE_HESSIAN_HPP
