// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PRUNE_HINM_ORDER_HPP
#define PARE_PRUNE_HINM_ORDER_HPP

#include "../core/buffer.hpp"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <utility>

namespace pare::prune::inline PARE_ARCH_NAMESPACE {

/// Which output channels share a tile, and which inputs a tile keeps: dense ones first, then others
/// in the order that N:M groups them. Mask and packed bytes follow from weights and order. Whatever
/// the order, it costs a kernel nothing: it reads activations through the list of inputs anyway.
class hinm_order {
  public:
    hinm_order() noexcept = default;

    /// Rows in place; every tile keeps columns 0 .. kept - 1. dense <= kept <= cols < 2^32,
    /// tile_rows > 0.
    static result<hinm_order> make(std::size_t rows, std::size_t cols, std::size_t tile_rows,
                                   std::size_t kept, std::size_t dense = 0) noexcept;
    result<hinm_order> copy() const noexcept;

    std::size_t rows() const noexcept { return outputs_.size(); }
    std::size_t cols() const noexcept { return cols_; }
    std::size_t tile_rows() const noexcept { return tile_rows_; }
    /// The last may have fewer rows than tile_rows().
    std::size_t n_tiles() const noexcept { return (rows() + tile_rows_ - 1) / tile_rows_; }
    /// Columns that every tile keeps.
    std::size_t kept() const noexcept { return kept_; }
    /// Those of them, the first of every tile, that are kept whole: N:M groups what follows.
    std::size_t dense() const noexcept { return dense_; }

    /// (rows) outputs()[i] is the row of the weights at place i; tile t has places t * tile_rows
    /// onward.
    std::span<std::uint32_t> outputs() noexcept { return outputs_.span(); }
    std::span<const std::uint32_t> outputs() const noexcept { return outputs_.span(); }
    std::span<const std::uint32_t> outputs_of(std::size_t tile) const noexcept {
        const std::size_t begin = tile * tile_rows_, left = rows() - begin;
        return outputs().subspan(begin, left < tile_rows_ ? left : tile_rows_);
    }

    /// (kept) the columns of the weights that a tile keeps; from the dense() th on N:M groups them
    /// as they stand here.
    std::span<std::uint32_t> columns(std::size_t tile) noexcept {
        return columns_.span().subspan(tile * kept_, kept_);
    }
    std::span<const std::uint32_t> columns(std::size_t tile) const noexcept {
        return columns_.span().subspan(tile * kept_, kept_);
    }

    /// An order read from outside: refuses outputs that are no permutation, and columns out of
    /// range or twice in a tile. Allocates max(rows, cols) words.
    status check() const noexcept;

    friend bool operator==(const hinm_order& a, const hinm_order& b) noexcept {
        const auto equal = [](const buffer<std::uint32_t>& x, const buffer<std::uint32_t>& y) {
            return x.size() == y.size() &&
                   (x.size() == 0 || std::memcmp(x.data(), y.data(), x.span().size_bytes()) == 0);
        };
        return a.cols_ == b.cols_ && a.tile_rows_ == b.tile_rows_ && a.kept_ == b.kept_ &&
               a.dense_ == b.dense_ && equal(a.outputs_, b.outputs_) &&
               equal(a.columns_, b.columns_);
    }

  private:
    std::size_t cols_ = 0, tile_rows_ = 1, kept_ = 0, dense_ = 0;
    buffer<std::uint32_t> outputs_, columns_;
};

inline result<hinm_order> hinm_order::make(std::size_t rows, std::size_t cols,
                                           std::size_t tile_rows, std::size_t kept,
                                           std::size_t dense) noexcept {
    if (tile_rows == 0 || kept > cols || dense > kept || rows > 0xfffffffeu || cols > 0xfffffffeu)
        return error{errc::invalid_argument,
                     "hinm_order: tile_rows is 0, more columns are kept than there are, more are "
                     "dense than kept, or the matrix is too large"};
    hinm_order made;
    made.cols_ = cols;
    made.tile_rows_ = tile_rows;
    made.kept_ = kept;
    made.dense_ = dense;
    auto outputs = buffer<std::uint32_t>::make(rows);
    if (!outputs) return outputs.error();
    made.outputs_ = *std::move(outputs);
    auto columns = buffer<std::uint32_t>::make(made.n_tiles() * kept);
    if (!columns) return columns.error();
    made.columns_ = *std::move(columns);
    for (std::size_t r = 0; r < rows; ++r) made.outputs_[r] = static_cast<std::uint32_t>(r);
    for (std::size_t t = 0; t < made.n_tiles(); ++t)
        for (std::size_t i = 0; i < kept; ++i) made.columns(t)[i] = static_cast<std::uint32_t>(i);
    return made;
}

inline result<hinm_order> hinm_order::copy() const noexcept {
    auto made = make(rows(), cols_, tile_rows_, kept_, dense_);
    if (!made) return made;
    if (rows() != 0)
        std::memcpy(made->outputs_.data(), outputs_.data(), outputs_.span().size_bytes());
    if (columns_.size() != 0)
        std::memcpy(made->columns_.data(), columns_.data(), columns_.span().size_bytes());
    return made;
}

inline status hinm_order::check() const noexcept {
    auto seen = buffer<std::uint32_t>::make(rows() > cols_ ? rows() : cols_);
    if (!seen) return seen.error();
    std::uint32_t list = 1;  // what `seen` holds for the numbers of the present list
    for (const std::uint32_t r : outputs()) {
        if (r >= rows() || (*seen)[r] == list)
            return error{errc::invalid_argument, "hinm_order: outputs are no permutation", r};
        (*seen)[r] = list;
    }
    for (std::size_t t = 0; t < n_tiles(); ++t) {
        ++list;
        for (const std::uint32_t c : columns(t)) {
            if (c >= cols_ || (*seen)[c] == list)
                return error{errc::invalid_argument,
                             "hinm_order: a tile keeps a column twice or one out of range", t};
            (*seen)[c] = list;
        }
    }
    return {};
}

}  // namespace pare::prune::inline PARE_ARCH_NAMESPACE

#endif  // PARE_PRUNE_HINM_ORDER_HPP
