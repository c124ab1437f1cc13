// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PRUNE_OBSERVER_HPP
#define PARE_PRUNE_OBSERVER_HPP

#include "../core/buffer.hpp"
#include "../core/status.hpp"
#include "../core/tensor_view.hpp"
#include "input_sums.hpp"

#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace pare::prune::inline PARE_ARCH_NAMESPACE {

/// norms = sqrt(squares), the L2 norm of each feature: calibration::input_norms.
inline status input_norms(std::span<const double> squares, std::span<float> norms) noexcept {
    if (norms.size() != squares.size())
        return error{errc::shape_mismatch, "one norm per input feature"};
    for (std::size_t c = 0; c < norms.size(); ++c)
        norms[c] = static_cast<float>(std::sqrt(squares[c]));
    return {};
}

/// Collects input_sums over any number of calls. NaN and infinity pass into them, which the readers
/// refuse. Allocates when it is made.
class input_observer {
  public:
    /// @return out_of_memory
    static result<input_observer> make(std::size_t features, bool with_gram) noexcept;

    /// Adds x (tokens, features). Sums over the tokens of a call are made in double, so few calls
    /// of many tokens round the float Gram matrix least. @return shape_mismatch
    status add(matrix_view<const float> x) noexcept;

    /// Adds what another has seen, be it read from a file: the sums are those over both, but for
    /// rounding. @return shape_mismatch for other features, or where one alone has a Gram matrix
    status merge(const input_sums& other) noexcept;

    /// Views of this observer's memory.
    input_sums sums() const noexcept {
        return {tokens_, squares_.span(), largest_.span(), {gram_.data(), n_gram(), n_gram()}};
    }

  private:
    std::size_t n_gram() const noexcept { return gram_.size() == 0 ? 0 : squares_.size(); }
    void add_gram(matrix_view<const float> x) noexcept;

    // Magnitudes are ordered as their bits, with NaN above infinity: none is lost.
    static float larger(float magnitude, float x) noexcept {
        const std::uint32_t bits = std::bit_cast<std::uint32_t>(x) & 0x7fffffffu;
        return bits > std::bit_cast<std::uint32_t>(magnitude) ? std::bit_cast<float>(bits)
                                                              : magnitude;
    }

    std::uint64_t tokens_ = 0;
    buffer<double> squares_;
    buffer<float> largest_, gram_;
};

inline result<input_observer> input_observer::make(std::size_t features, bool with_gram) noexcept {
    input_observer made;
    if (with_gram && features != 0 && features > static_cast<std::size_t>(-1) / features)
        return error{errc::out_of_memory, "the Gram matrix is too large"};
    auto squares = buffer<double>::make(features);
    auto largest = buffer<float>::make(features);
    auto gram = buffer<float>::make(with_gram ? features * features : 0);
    if (!squares) return squares.error();
    if (!largest) return largest.error();
    if (!gram) return gram.error();
    made.squares_ = *std::move(squares);
    made.largest_ = *std::move(largest);
    made.gram_ = *std::move(gram);
    return made;
}

inline status input_observer::add(matrix_view<const float> x) noexcept {
    if (squares_.size() != x.cols())
        return error{errc::shape_mismatch, "statistics need as many features as the activations"};
    for (std::size_t t = 0; t < x.rows(); ++t)
        for (std::size_t c = 0; c < x.cols(); ++c) {
            const double value = static_cast<double>(x(t, c));
            squares_[c] += value * value;
            largest_[c] = larger(largest_[c], x(t, c));
        }
    tokens_ += x.rows();
    if (gram_.size() != 0) add_gram(x);
    return {};
}

// The lower triangle in runs of columns whose sums stay in registers or the first cache.
inline void input_observer::add_gram(matrix_view<const float> x) noexcept {
    constexpr std::size_t run = 64;
    const std::size_t n = x.cols();
    const matrix_view<float> gram(gram_.data(), n, n);
    for (std::size_t r = 0; r < n; ++r)
        for (std::size_t begin = 0; begin <= r; begin += run) {
            const std::size_t length = r + 1 - begin < run ? r + 1 - begin : run;
            std::array<double, run> sums{};
            for (std::size_t t = 0; t < x.rows(); ++t) {
                const double value = static_cast<double>(x(t, r));
                const float* const others = &x(t, begin);
                if (x.col_stride() == 1)  // said, so that sums go side by side
                    for (std::size_t i = 0; i < length; ++i)
                        sums[i] += value * static_cast<double>(others[i]);
                else
                    for (std::size_t i = 0; i < length; ++i)
                        sums[i] += value * static_cast<double>(others[i * x.col_stride()]);
            }
            for (std::size_t i = 0; i < length; ++i) {
                gram(r, begin + i) += static_cast<float>(sums[i]);
                gram(begin + i, r) = gram(r, begin + i);
            }
        }
}

inline status input_observer::merge(const input_sums& other) noexcept {
    const std::size_t n = squares_.size();
    if (other.squares.size() != n || other.largest.size() != n || other.gram.rows() != n_gram() ||
        other.gram.cols() != n_gram())
        return error{errc::shape_mismatch,
                     "the statistics are of other features, or only one has "
                     "a Gram matrix"};
    tokens_ += other.tokens;
    for (std::size_t c = 0; c < n; ++c) {
        squares_[c] += other.squares[c];
        largest_[c] = larger(largest_[c], other.largest[c]);
    }
    for (std::size_t r = 0; r < n_gram(); ++r)
        for (std::size_t c = 0; c < n; ++c) gram_[r * n + c] += other.gram(r, c);
    return {};
}

}  // namespace pare::prune::inline PARE_ARCH_NAMESPACE

#endif  // PARE_PRUNE_OBSERVER_HPP
