// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EIGEN_LEAST_SQUARES_REPAIR_HPP
#define PARE_EIGEN_LEAST_SQUARES_REPAIR_HPP

#include "../core/buffer.hpp"
#include "../core/dtype.hpp"
#include "../core/status.hpp"
#include "../core/tensor_view.hpp"

#include <Eigen/Cholesky>

#include <cstddef>
#include <cstdint>
#include <span>

namespace pare::eigen::inline PARE_ARCH_NAMESPACE {

/// Gives a layer back what the input channels that it lost told it: on calibration data, what is
/// left reconstructs these by least squares, and the layer's weights take that in. As the
/// reconstruction of He et al., "Channel Pruning for Accelerating Very Deep Neural Networks",
/// arXiv:1707.06168, with a ridge that pulls the weights to what they were rather than to zero:
/// repaired and shift minimise, for each output with the trained weights w and inputs x,
///   sum over tokens (w x - repaired x_kept - shift)^2 + ridge |repaired - w_kept|^2.
struct least_squares_repair {
    float damping = 0.01f;  ///< the ridge by the mean of the kept features' sums of squares

    /// Offline: allocates 8 bytes for each pair of two kept features, of a kept feature and a
    /// feature, of either and an output, and what Eigen's products need on top: when Eigen gets no
    /// memory for that the program ends.
    /// @param weights   (outputs, channels * taps) of the layer as trained, taps side by side
    /// @param kept      (channels kept), ascending
    /// @param gram      (features, features) X^T X over calibration tokens, features = channels *
    ///                  taps: what prune::input_observer collects; one more feature, last and
    ///                  always 1, makes a shift part of it
    /// @param repaired  (outputs, kept * taps)
    /// @param shift     (outputs) to be added to what the layer then puts out; empty: the gram has
    ///                  no such feature
    /// @return shape_mismatch, not_a_number, out_of_memory; invalid_argument for a damping that is
    /// not positive, channels that do not ascend, or a system that needs more damping
    status fold(matrix_view<const float> weights, std::size_t taps,
                std::span<const std::uint32_t> kept, matrix_view<const float> gram,
                matrix_view<float> repaired, std::span<float> shift) const noexcept;

  private:
    status check(matrix_view<const float> weights, std::size_t taps,
                 std::span<const std::uint32_t> kept, matrix_view<const float> gram) const noexcept;
};

inline status least_squares_repair::check(matrix_view<const float> weights, std::size_t taps,
                                          std::span<const std::uint32_t> kept,
                                          matrix_view<const float> gram) const noexcept {
    if (!is_finite(damping) || damping <= 0.0f)
        return error{errc::invalid_argument, "least_squares_repair: the damping is not positive"};
    for (std::size_t i = 0; i < kept.size(); ++i)
        if (kept[i] >= weights.cols() / taps || (i > 0 && kept[i] <= kept[i - 1]))
            return error{errc::invalid_argument, "least_squares_repair: channels ascend", i};
    for (std::size_t r = 0; r < gram.rows(); ++r)
        for (std::size_t c = 0; c < gram.cols(); ++c)
            if (!is_finite(gram(r, c)))
                return error{errc::not_a_number, "the Gram matrix is NaN or infinite", r};
    for (std::size_t r = 0; r < weights.rows(); ++r)
        for (std::size_t c = 0; c < weights.cols(); ++c)
            if (!is_finite(weights(r, c)))
                return error{errc::not_a_number, "a weight is NaN or infinite", r};
    return {};
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
    if (const status ok = check(weights, taps, kept, gram); !ok) return ok;

    auto memory = buffer<double>::make(n_known * (n_known + n + outputs) + n * outputs);
    if (!memory) return memory.error();
    using matrix_map = Eigen::Map<Eigen::MatrixXd>;
    const auto size = [](std::size_t i) { return static_cast<Eigen::Index>(i); };
    matrix_map system(memory->data(), size(n_known), size(n_known)),
        seen(system.data() + system.size(), size(n_known), size(n)),
        lost(seen.data() + seen.size(), size(n), size(outputs)),
        change(lost.data() + lost.size(), size(n_known), size(outputs));
    const auto feature = [&](std::size_t i) {
        return i < n_kept ? kept[i / taps] * taps + i % taps : n;
    };
    for (std::size_t r = 0; r < outputs; ++r)
        for (std::size_t c = 0; c < n; ++c)
            lost(size(c), size(r)) = static_cast<double>(weights(r, c));
    for (std::size_t i = 0; i < n_known; ++i) {
        for (std::size_t c = 0; c < n; ++c)
            seen(size(i), size(c)) = static_cast<double>(gram(feature(i), c));
        for (std::size_t k = 0; k < n_known; ++k)
            system(size(i), size(k)) = static_cast<double>(gram(feature(i), feature(k)));
        if (i < n_kept) lost.row(size(feature(i))).setZero();
    }
    change.noalias() = seen * lost;
    if (n_kept > 0) {
        auto diagonal = system.diagonal().head(size(n_kept));
        const double mean = diagonal.mean();  // where nothing ever fired nothing changes
        diagonal.array() += mean > 0.0 ? static_cast<double>(damping) * mean : 1.0;
    }
    const Eigen::LLT<Eigen::Ref<Eigen::MatrixXd>> factor(system);
    factor.solveInPlace(change);
    for (Eigen::Index i = 0; i < change.size(); ++i)
        if (factor.info() != Eigen::Success || !is_finite(static_cast<float>(change.data()[i])))
            return error{errc::invalid_argument, "least_squares_repair: more damping is needed"};
    for (std::size_t r = 0; r < outputs; ++r) {
        for (std::size_t i = 0; i < n_kept; ++i)
            repaired(r, i) = static_cast<float>(static_cast<double>(weights(r, feature(i))) +
                                                change(size(i), size(r)));
        if (constants == 1) shift[r] = static_cast<float>(change(size(n_kept), size(r)));
    }
    return {};
}

}  // namespace pare::eigen::inline PARE_ARCH_NAMESPACE

#endif  // PARE_EIGEN_LEAST_SQUARES_REPAIR_HPP
