// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EIGEN_UDFC_HPP
#define PARE_EIGEN_UDFC_HPP

#include "../core/buffer.hpp"
#include "../core/dtype.hpp"
#include "../core/status.hpp"
#include "../core/tensor_view.hpp"
#include "map.hpp"

#include <Eigen/Cholesky>

#include <cmath>
#include <cstddef>
#include <span>

namespace pare::eigen {

/// A layer whose output channel k is z_k = scale[k] (weights_k * x) + offset[k]. A batch norm has
/// scale = gamma / sigma and offset = beta - gamma mu / sigma. A channel that is removed has no
/// weights and no offset: zeros.
struct filters {
    matrix_view<const float> weights;  ///< (channels, weights of a filter)
    std::span<const float> scale;      ///< (channels)
    std::span<const float> offset;     ///< (channels)
};

inline namespace PARE_ARCH_NAMESPACE {

/// Data-free reconstruction: what a channel lost to pruning or quantisation is made of the channels
/// that are left, and the next layer's weights take that in. After Bai et al., "Unified Data-Free
/// Compression", arXiv:2308.07209, where z_j is about sum_k s_k z_k.
///
/// The objective is ours: with g_k = scale_k weights_k and b_k = offset_k of what is left, G having
/// the g_k as columns, and d_j and c_j what channel j lost of either,
///   |d_j - G s|^2 + alpha1 (c_j - b^T s)^2 + alpha2 |s|^2,
/// as if inputs were uncorrelated, of unit variance, and the activation linear. It is least where
///   (G^T G + alpha1 b b^T + alpha2 I) s = G^T d_j + alpha1 b c_j.
struct udfc {
    float alpha1 = 0.01f;   ///< of offsets
    float alpha2 = 0.008f;  ///< of coefficients

    /// mix (channels, channels), the identity plus the s of each column: trained z_j is about
    /// sum_k mix(k, j) z_k of what is left. Offline: allocates 16 bytes per weight and per element
    /// of mix, and what Eigen's products need on top: when Eigen gets no memory for that the
    /// program ends. @return shape_mismatch, not_a_number, out_of_memory; invalid_argument for
    /// alpha1 < 0, alpha2 <= 0, or coefficients that no float holds
    status mixture(const filters& trained, const filters& left,
                   matrix_view<float> mix) const noexcept;
};

/// Lets the next layer read what is left: next (outputs, channels * taps), a channel's taps side by
/// side, becomes next mix^T for each tap. @return shape_mismatch, out_of_memory
inline status fold(matrix_view<const float> mix, matrix_view<float> next) noexcept {
    const std::size_t n = mix.rows();
    if (mix.cols() != n || n == 0 || next.cols() % n != 0)
        return error{errc::shape_mismatch, "the next layer needs whole taps of each channel"};
    auto made = buffer<float>::make(n);
    if (!made) return made.error();
    const std::size_t taps = next.cols() / n;
    for (std::size_t r = 0; r < next.rows(); ++r)
        for (std::size_t t = 0; t < taps; ++t) {
            for (std::size_t k = 0; k < n; ++k) {
                double sum = 0.0;
                for (std::size_t j = 0; j < n; ++j)
                    sum +=
                        static_cast<double>(mix(k, j)) * static_cast<double>(next(r, j * taps + t));
                (*made)[k] = static_cast<float>(sum);
            }
            for (std::size_t k = 0; k < n; ++k) next(r, k * taps + t) = (*made)[k];
        }
    return {};
}

inline status udfc::mixture(const filters& trained, const filters& left,
                            matrix_view<float> mix) const noexcept {
    const std::size_t n = trained.weights.rows(), n_weights = trained.weights.cols();
    for (const filters* f : {&trained, &left}) {
        if (f->weights.extents() != trained.weights.extents() || f->scale.size() != n ||
            f->offset.size() != n || mix.rows() != n || mix.cols() != n)
            return error{errc::shape_mismatch, "filters, scales, offsets and mixture disagree"};
        for (std::size_t k = 0; k < n; ++k) {
            bool finite = is_finite(f->scale[k]) && is_finite(f->offset[k]);
            for (std::size_t i = 0; i < n_weights; ++i) finite &= is_finite(f->weights(k, i));
            if (!finite) return error{errc::not_a_number, "a filter is NaN or infinite", k};
        }
    }
    if (!is_finite(alpha1) || alpha1 < 0.0f || !is_finite(alpha2) || alpha2 <= 0.0f)
        return error{errc::invalid_argument, "udfc: alpha1 >= 0 and alpha2 > 0 need to be finite"};
    if (n == 0) return {};

    // A row more than a filter has weights: of sqrt(alpha1) times the offsets.
    const std::size_t height = n_weights + 1;
    auto memory = buffer<double>::make(2 * n * (height + n));
    if (!memory) return memory.error();
    using matrix_map = Eigen::Map<Eigen::MatrixXd>;
    const auto size = static_cast<Eigen::Index>(n), rows = static_cast<Eigen::Index>(height);
    matrix_map kept(memory->data(), rows, size), lost(kept.data() + n * height, rows, size);
    matrix_map system(lost.data() + n * height, size, size), s(system.data() + n * n, size, size);
    const auto channel = [&](const filters& f, Eigen::Index k, Eigen::Index i) {
        const auto c = static_cast<std::size_t>(k);
        if (i + 1 == rows)
            return std::sqrt(static_cast<double>(alpha1)) * static_cast<double>(f.offset[c]);
        return static_cast<double>(f.scale[c]) *
               static_cast<double>(f.weights(c, static_cast<std::size_t>(i)));
    };
    for (Eigen::Index k = 0; k < size; ++k)
        for (Eigen::Index i = 0; i < rows; ++i) {
            kept(i, k) = channel(left, k, i);
            lost(i, k) = channel(trained, k, i) - kept(i, k);
        }
    system.noalias() = kept.transpose() * kept;
    system.diagonal().array() += static_cast<double>(alpha2);
    s.noalias() = kept.transpose() * lost;
    const Eigen::LLT<Eigen::Ref<Eigen::MatrixXd>> factor(system);
    factor.solveInPlace(s);
    s.diagonal().array() += 1.0;
    for (Eigen::Index i = 0; i < s.size(); ++i)
        if (factor.info() != Eigen::Success || !is_finite(static_cast<float>(s.data()[i])))
            return error{errc::invalid_argument, "udfc: the system needs a larger alpha2"};
    as_eigen(mix) = s.cast<float>();
    return {};
}

}  // namespace PARE_ARCH_NAMESPACE

}  // namespace pare::eigen

#endif  // PARE_EIGEN_UDFC_HPP
