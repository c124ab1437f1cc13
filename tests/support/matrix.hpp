// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_TESTS_SUPPORT_MATRIX_HPP
#define PARE_TESTS_SUPPORT_MATRIX_HPP

#include <pare/core/random.hpp>
#include <pare/core/tensor_view.hpp>
#include <pare/prune/prune.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <initializer_list>
#include <string>
#include <vector>

namespace pare::testing {

/// An owning row-major matrix of floats.
class matrix {
  public:
    matrix(std::size_t rows, std::size_t cols) : rows_(rows), cols_(cols), data_(rows * cols) {}
    matrix(std::size_t rows, std::size_t cols, std::initializer_list<float> data)
        : rows_(rows), cols_(cols), data_(data) {}

    /// Uniform in [-1, 1).
    static matrix uniform(std::size_t rows, std::size_t cols, std::uint64_t seed) {
        matrix made(rows, cols);
        pare::random random(seed);
        for (float& x : made.data_) x = random.symmetric();
        return made;
    }
    /// Integers in [-bound, bound]: full of ties, and sums of products are exact in any order.
    static matrix integers(std::size_t rows, std::size_t cols, int bound, std::uint64_t seed) {
        matrix made(rows, cols);
        pare::random random(seed);
        const auto n_values = static_cast<std::uint64_t>(2 * bound + 1);
        for (float& x : made.data_)
            x = static_cast<float>(static_cast<int>(random.below(n_values)) - bound);
        return made;
    }

    std::size_t rows() const { return rows_; }
    std::size_t cols() const { return cols_; }
    float& operator()(std::size_t r, std::size_t c) { return data_[r * cols_ + c]; }
    float operator()(std::size_t r, std::size_t c) const { return data_[r * cols_ + c]; }
    std::vector<float>& data() { return data_; }
    const std::vector<float>& data() const { return data_; }
    matrix_view<float> view() { return {data_.data(), rows_, cols_}; }
    matrix_view<const float> view() const { return {data_.data(), rows_, cols_}; }

  private:
    std::size_t rows_, cols_;
    std::vector<float> data_;
};

/// An owning mask whose every bit, those after the last column too, starts as `fill`.
class bits {
  public:
    bits(std::size_t rows, std::size_t cols, bool fill = false)
        : words_(prune::mask_view::required_words(rows, cols), fill ? ~std::uint64_t{0} : 0),
          view_(words_.data(), rows, cols) {}
    bits(bits&&) = default;  // the words stay where they are
    bits& operator=(const bits&) = delete;

    prune::mask_view view() { return view_; }
    bool operator()(std::size_t r, std::size_t c) const { return view_(r, c); }
    /// Row after row, '1' for kept.
    std::string text() const {
        std::string out;
        for (std::size_t r = 0; r < view_.rows(); ++r) {
            if (r != 0) out += ' ';
            for (std::size_t c = 0; c < view_.cols(); ++c) out += view_(r, c) ? '1' : '0';
        }
        return out;
    }

  private:
    std::vector<std::uint64_t> words_;
    prune::mask_view view_;
};

/// The mask that a pattern selects from these scores, as text.
template <class Pattern>
std::string selected(const Pattern& pattern, const matrix& scores) {
    bits kept(scores.rows(), scores.cols());
    if (!prune::detail::select(pattern, scores.view(), kept.view())) std::abort();
    return kept.text();
}

}  // namespace pare::testing

#endif  // PARE_TESTS_SUPPORT_MATRIX_HPP
