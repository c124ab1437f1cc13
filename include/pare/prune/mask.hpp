// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PRUNE_MASK_HPP
#define PARE_PRUNE_MASK_HPP

#include "../core/buffer.hpp"

#include <bit>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

namespace pare::prune::inline PARE_ARCH_NAMESPACE {

/// One bit per weight, 1 = kept, over caller-owned 64-bit words: bit c % 64 of word c / 64 of row
/// r. Each row starts a new word.
template <class Word>
class basic_mask_view {
    static_assert(std::is_same_v<std::remove_const_t<Word>, std::uint64_t>);

  public:
    static constexpr std::size_t words_per_row(std::size_t cols) noexcept {
        return (cols + 63) / 64;
    }
    static constexpr std::size_t required_words(std::size_t rows, std::size_t cols) noexcept {
        return rows * words_per_row(cols);
    }

    constexpr basic_mask_view() noexcept = default;
    constexpr basic_mask_view(Word* words, std::size_t rows, std::size_t cols) noexcept
        : words_(words), rows_(rows), cols_(cols) {}
    constexpr operator basic_mask_view<const std::uint64_t>() const noexcept
        requires(!std::is_const_v<Word>) {
        return {words_, rows_, cols_};
    }

    constexpr std::size_t rows() const noexcept { return rows_; }
    constexpr std::size_t cols() const noexcept { return cols_; }

    constexpr bool operator()(std::size_t row, std::size_t col) const noexcept {
        PARE_ASSERT(row < rows_ && col < cols_, "index out of range");
        return (word(row, col) >> (col % 64)) & 1u;
    }
    constexpr void set(std::size_t row, std::size_t col, bool kept) const noexcept
        requires(!std::is_const_v<Word>) {
        PARE_ASSERT(row < rows_ && col < cols_, "index out of range");
        const std::uint64_t bit = std::uint64_t{1} << (col % 64);
        word(row, col) = kept ? word(row, col) | bit : word(row, col) & ~bit;
    }
    /// Number of kept weights in one row. @pre bits at and after cols are 0
    constexpr std::size_t count_row(std::size_t row) const noexcept {
        std::size_t n = 0;
        for (std::size_t w = 0; w < words_per_row(cols_); ++w)
            n += static_cast<std::size_t>(std::popcount(words_[row * words_per_row(cols_) + w]));
        return n;
    }
    /// Number of kept weights.
    constexpr std::size_t count() const noexcept {
        std::size_t n = 0;
        for (std::size_t r = 0; r < rows_; ++r) n += count_row(r);
        return n;
    }

  private:
    constexpr Word& word(std::size_t row, std::size_t col) const noexcept {
        return words_[row * words_per_row(cols_) + col / 64];
    }

    Word* words_ = nullptr;
    std::size_t rows_ = 0;
    std::size_t cols_ = 0;
};

using mask_view = basic_mask_view<std::uint64_t>;
using const_mask_view = basic_mask_view<const std::uint64_t>;

/// An owning mask, all weights pruned when made.
class mask {
  public:
    mask() noexcept = default;
    mask(mask&& other) noexcept
        : words_(std::move(other.words_)), rows_(std::exchange(other.rows_, 0)),
          cols_(std::exchange(other.cols_, 0)) {}
    mask& operator=(mask&& other) noexcept {
        words_ = std::move(other.words_);
        rows_ = std::exchange(other.rows_, 0);
        cols_ = std::exchange(other.cols_, 0);
        return *this;
    }

    static result<mask> make(std::size_t rows, std::size_t cols) noexcept {
        auto words = buffer<std::uint64_t>::make(mask_view::required_words(rows, cols));
        if (!words) return words.error();
        mask made;
        made.words_ = *std::move(words);
        made.rows_ = rows;
        made.cols_ = cols;
        return made;
    }
    mask_view view() noexcept { return {words_.data(), rows_, cols_}; }
    const_mask_view view() const noexcept { return {words_.data(), rows_, cols_}; }

  private:
    buffer<std::uint64_t> words_;
    std::size_t rows_ = 0;
    std::size_t cols_ = 0;
};

}  // namespace pare::prune::inline PARE_ARCH_NAMESPACE

#endif  // PARE_PRUNE_MASK_HPP
