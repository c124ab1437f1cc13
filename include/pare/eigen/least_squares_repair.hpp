// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EIGEN_LEAST_SQUARES_REPAIR_HPP
#define PARE_EIGEN_LEAST_SQUARES_REPAIR_HPP

#include "../core/buffer.hpp"
#include "../core/dtype.hpp"
#include "../core/status.hpp"
#include "../core/tensor_view.hpp"
#include "map.hpp"

#include <Eigen/Cholesky>

#include <cstddef>
#include <span>

namespace pare::eigen::inline PARE_ARCH_NAMESPACE {

/// Gives a layer back what channels that left told it: weights with which it puts out what is
/// wanted of it, on calibration data and by least squares. As the reconstruction of He et al.,
/// "Channel Pruning for Accelerating Very Deep Neural Networks", arXiv:1707.06168, with a ridge
/// that pulls the weights to what they were rather than to zero: repaired and shift minimise, for
/// each output with its target y, the inputs x that are left, and their trained weights w,
///   sum over tokens (y - repaired x - shift)^2 + ridge |repaired - w|^2.
struct least_squares_repair {
    float damping = 0.01f;  ///< the ridge by the mean of the features' sums of squares

    /// For any inputs and targets: those of a network that lost channels further ahead, say, and
    /// what the whole one puts out. Offline: allocates 8 bytes for each pair of two features and of
    /// a feature and an output, and what Eigen's products need on top: when Eigen gets no memory
    /// for that the program ends.
    /// @param weights   (outputs, features) as trained, of the inputs that are left
    /// @param gram      (features, features) X^T X over calibration tokens; one more feature, last
    ///                  and always 1, makes a shift part of the fit
    /// @param targets   (outputs, features) Y^T X, with that feature where the gram has it
    /// @param repaired  (outputs, features)
    /// @param shift     (outputs) to be added to what the layer then puts out; empty: the gram has
    ///                  no such feature
    /// @return shape_mismatch, not_a_number, out_of_memory; invalid_argument for a damping that is
    /// not positive, or a system that needs more
    status fit(matrix_view<const float> weights, matrix_view<const float> gram,
               matrix_view<const float> targets, matrix_view<float> repaired,
               std::span<float> shift) const noexcept;

    /// For a layer whose inputs are otherwise what they were: the target is what it put out with
    /// all of them. Allocates as fit(), and 8 bytes for each pair of a feature and a kept one or an
    /// output.
    /// @param weights   (outputs, channels * taps) of the layer as trained, taps side by side
    /// @param kept      (channels kept), ascending
    /// @param gram      as fit(), features = channels * taps: what prune::input_observer collects
    /// @param repaired  (outputs, kept * taps)
    /// @return as fit(); invalid_argument for channels that do not ascend
    status fold(matrix_view<const float> weights, std::size_t taps,
                std::span<const std::uint32_t> kept, matrix_view<const float> gram,
                matrix_view<float> repaired, std::span<float> shift) const noexcept;

  private:
    using matrix_map = Eigen::Map<Eigen::MatrixXd>;

    status check(matrix_view<const float> weights, matrix_view<const float> gram) const noexcept;
    // change: X^T of what the weights as they are leave of the targets, then what they change by.
    status solve(matrix_map gram, matrix_map change, auto&& weight_at, matrix_view<float> repaired,
                 std::span<float> shift) const noexcept;
};

namespace detail {

inline bool all_finite(matrix_view<const float> m) noexcept {
    for (std::size_t r = 0; r < m.rows(); ++r)
        for (std::size_t c = 0; c < m.cols(); ++c)
            if (!is_finite(m(r, c))) return false;
    return true;
}

}  // namespace detail

inline status least_squares_repair::check(matrix_view<const float> weights,
                                          matrix_view<const float> gram) const noexcept {
    if (!is_finite(damping) || damping <= 0.0f)
        return error{errc::invalid_argument, "least_squares_repair: the damping is not positive"};
    if (!detail::all_finite(gram))
        return error{errc::not_a_number, "the Gram matrix is NaN or infinite"};
    if (!detail::all_finite(weights))
        return error{errc::not_a_number, "a weight is NaN or infinite"};
    return {};
}

inline status least_squares_repair::solve(matrix_map gram, matrix_map change, auto&& weight_at,
                                          matrix_view<float> repaired,
                                          std::span<float> shift) const noexcept {
    const auto features = static_cast<Eigen::Index>(repaired.cols());
    if (features > 0) {
        auto diagonal = gram.diagonal().head(features);
        const double mean = diagonal.mean();  // where nothing ever fired nothing changes
        diagonal.array() += mean > 0.0 ? static_cast<double>(damping) * mean : 1.0;
    }
    const Eigen::LLT<Eigen::Ref<Eigen::MatrixXd>> factor(gram);
    factor.solveInPlace(change);
    for (Eigen::Index i = 0; i < change.size(); ++i)
        if (factor.info() != Eigen::Success || !is_finite(static_cast<float>(change.data()[i])))
            return error{errc::invalid_argument, "least_squares_repair: more damping is needed"};
    for (Eigen::Index r = 0; r < change.cols(); ++r) {
        const auto row = static_cast<std::size_t>(r);
        for (std::size_t i = 0; i < repaired.cols(); ++i)
            repaired(row, i) = static_cast<float>(static_cast<double>(weight_at(row, i)) +
                                                  change(static_cast<Eigen::Index>(i), r));
        if (!shift.empty()) shift[row] = static_cast<float>(change(features, r));
    }
    return {};
}

inline status least_squares_repair::fit(matrix_view<const float> weights,
                                        matrix_view<const float> gram,
                                        matrix_view<const float> targets,
                                        matrix_view<float> repaired,
                                        std::span<float> shift) const noexcept {
    const std::size_t outputs = weights.rows(), n = weights.cols() + (shift.empty() ? 0 : 1);
    if (gram.rows() != n || gram.cols() != n || targets.rows() != outputs || targets.cols() != n ||
        repaired.rows() != outputs || repaired.cols() != weights.cols() ||
        (!shift.empty() && shift.size() != outputs))
        return error{errc::shape_mismatch, "least_squares_repair: layer and moments disagree"};
    if (const status ok = check(weights, gram); !ok) return ok;
    if (!detail::all_finite(targets))
        return error{errc::not_a_number, "a moment of the targets is NaN or infinite"};

    auto memory = buffer<double>::make(n * (n + outputs));
    if (!memory) return memory.error();
    matrix_map system(memory->data(), as_eigen(gram).rows(), as_eigen(gram).cols()),
        change(system.data() + system.size(), system.rows(), as_eigen(weights).rows());
    system = as_eigen(gram).cast<double>();
    change = as_eigen(targets).transpose().cast<double>();
    change.noalias() -=
        system.leftCols(as_eigen(weights).cols()) * as_eigen(weights).transpose().cast<double>();
    return solve(system, change, weights, repaired, shift);
}

inline status least_squares_repair::fold(matrix_view<const float> weights, std::size_t taps,
                                         std::span<const std::uint32_t> kept,
                                         matrix_view<const float> gram, matrix_view<float> repaired,
                                         std::span<float> shift) const noexcept {
    const std::size_t n = weights.cols(), n_kept = kept.size() * taps, outputs = weights.rows();
    const std::size_t constants = shift.empty() ? 0 : 1, n_known = n_kept + constants;
    if (taps == 0 || n % taps != 0 || gram.rows() != n + constants ||
        gram.cols() != n + constants || repaired.rows() != outputs || repaired.cols() != n_kept ||
        (constants == 1 && shift.size() != outputs))
        return error{errc::shape_mismatch, "least_squares_repair: layer, gram and output disagree"};
    for (std::size_t i = 0; i < kept.size(); ++i)
        if (kept[i] >= n / taps || (i > 0 && kept[i] <= kept[i - 1]))
            return error{errc::invalid_argument, "least_squares_repair: channels ascend", i};
    if (const status ok = check(weights, gram); !ok) return ok;

    auto memory = buffer<double>::make(n_known * (n_known + n + outputs) + n * outputs);
    if (!memory) return memory.error();
    const auto size = [](std::size_t i) { return static_cast<Eigen::Index>(i); };
    matrix_map system(memory->data(), size(n_known), size(n_known)),
        seen(system.data() + system.size(), size(n_known), size(n)),
        lost(seen.data() + seen.size(), size(n), size(outputs)),
        change(lost.data() + lost.size(), size(n_known), size(outputs));
    const auto feature = [&](std::size_t i) {
        return i < n_kept ? kept[i / taps] * taps + i % taps : n;
    };
    lost = as_eigen(weights).transpose().cast<double>();
    for (std::size_t i = 0; i < n_known; ++i) {
        for (std::size_t c = 0; c < n; ++c)
            seen(size(i), size(c)) = static_cast<double>(gram(feature(i), c));
        for (std::size_t k = 0; k < n_known; ++k)
            system(size(i), size(k)) = static_cast<double>(gram(feature(i), feature(k)));
        if (i < n_kept) lost.row(size(feature(i))).setZero();
    }
    change.noalias() = seen * lost;
    return solve(
        system, change, [&](std::size_t r, std::size_t i) { return weights(r, feature(i)); },
        repaired, shift);
}

}  // namespace pare::eigen::inline PARE_ARCH_NAMESPACE

#endif  // PARE_EIGEN_LEAST_SQUARES_REPAIR_HPP
