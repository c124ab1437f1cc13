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

namespace detail {

inline constexpr error indefinite{errc::invalid_argument,
                                  "the damped Gram matrix is not positive definite: more damping"};

/// Where element i of a Gram matrix goes: to its place, or to that counted from the end.
enum class order { forward, backward };

/// The lower triangle of G + damping * mean(diag G) * I, its features in that order.
inline status damped(matrix_view<const float> gram, float damping, order in,
                     Eigen::Map<Eigen::MatrixXd>& hessian) noexcept {
    const std::size_t n = gram.rows();
    if (!is_finite(damping) || damping < 0.0f)
        return error{errc::invalid_argument, "the damping needs to be finite and not negative"};
    const auto at = [&](std::size_t i) {
        return static_cast<Eigen::Index>(in == order::forward ? i : n - 1 - i);
    };
    for (std::size_t r = 0; r < n; ++r)
        for (std::size_t c = 0; c <= r; ++c) {
            if (!is_finite(gram(r, c)))
                return error{errc::not_a_number, "the Gram matrix is NaN or infinite", r};
            const bool is_lower = at(c) <= at(r);
            hessian(is_lower ? at(r) : at(c), is_lower ? at(c) : at(r)) =
                static_cast<double>(gram(r, c));
        }
    const double mean = hessian.diagonal().mean();
    if (!(mean > 0.0))
        return error{errc::invalid_argument, "the Gram matrix is zero: no feature ever fired"};
    hessian.diagonal().array() += static_cast<double>(damping) * mean;
    return {};
}

}  // namespace detail

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
    if (n == 0) return {};

    constexpr Eigen::Index panel = 64;
    auto memory = buffer<double>::make(n * (n + panel + 1));
    if (!memory) return memory.error();
    using matrix_map = Eigen::Map<Eigen::MatrixXd>;
    const auto size = static_cast<Eigen::Index>(n);
    matrix_map hessian(memory->data(), size, size);
    Eigen::Map<Eigen::VectorXd> inverse(memory->data() + n * n, size);

    if (auto ok = detail::damped(gram, damping, detail::order::forward, hessian); !ok) return ok;

    const Eigen::LLT<Eigen::Ref<Eigen::MatrixXd>> factor(hessian);
    if (factor.info() != Eigen::Success) return detail::indefinite;
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
        if (!is_finite(static_cast<float>(inverse(i)))) return detail::indefinite;
    for (std::size_t i = 0; i < n; ++i)
        out[i] = static_cast<float>(inverse(static_cast<Eigen::Index>(i)));
    return {};
}

/// out (features, features) = the upper triangle U, zeros below, of U^T U = (G + damping *
/// mean(diag G) * I)^-1: what quant::gptq reads. All else as inverse_hessian_diagonal().
inline status inverse_hessian_factor(matrix_view<const float> gram, float damping,
                                     matrix_view<float> out) noexcept {
    const std::size_t n = gram.rows();
    if (gram.cols() != n || out.rows() != n || out.cols() != n)
        return error{errc::shape_mismatch, "the Gram matrix needs to be features x features"};
    if (n == 0) return {};
    auto memory = buffer<double>::make(2 * n * n);
    if (!memory) return memory.error();
    const auto size = static_cast<Eigen::Index>(n);
    // Backwards, H = L L^T; forwards that is V V^T with an upper triangle V, and U = V^-1.
    Eigen::Map<Eigen::MatrixXd> hessian(memory->data(), size, size);
    Eigen::Map<Eigen::MatrixXd> inverse(memory->data() + n * n, size, size);
    if (auto ok = detail::damped(gram, damping, detail::order::backward, hessian); !ok) return ok;
    const Eigen::LLT<Eigen::Ref<Eigen::MatrixXd>> factor(hessian);
    if (factor.info() != Eigen::Success) return detail::indefinite;
    inverse.setIdentity();
    hessian.triangularView<Eigen::Lower>().solveInPlace(inverse);
    for (std::size_t r = 0; r < n; ++r)
        for (std::size_t c = 0; c < n; ++c) {
            const auto row = size - 1 - static_cast<Eigen::Index>(r);
            const auto col = size - 1 - static_cast<Eigen::Index>(c);
            out(r, c) = c < r ? 0.0f : static_cast<float>(inverse(row, col));
            if (!is_finite(out(r, c))) return detail::indefinite;
        }
    return {};
}

}  // namespace pare::eigen::inline PARE_ARCH_NAMESPACE

#endif  // PARE_EIGEN_INVERSE_HESSIAN_HPP
