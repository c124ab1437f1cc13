// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PRUNE_OUTPUT_TILES_HPP
#define PARE_PRUNE_OUTPUT_TILES_HPP

#include "../core/executor.hpp"
#include "lost_vectors.hpp"
#include "search_input.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace pare::prune::inline PARE_ARCH_NAMESPACE::detail {

/// The column vectors of tiles of rows, and what is lost of them when every tile keeps its best.
class output_tiles {
  public:
    /// `scale`, a power of two, multiplies the scores so that sums and squares stay finite.
    static result<output_tiles> make(std::size_t rows, std::size_t cols, std::size_t tile_rows,
                                     std::size_t kept, float scale) noexcept;

    std::size_t count() const noexcept { return lost_.size(); }
    std::size_t cols() const noexcept { return cols_; }
    std::size_t stride() const noexcept { return stride_; }  ///< cols in whole vectors
    std::size_t tile_rows() const noexcept { return tile_rows_; }
    float scale() const noexcept { return scale_; }
    /// Whether the rows' tiles make a difference.
    bool differ() const noexcept { return count() > 1 && kept_ < cols_; }

    std::span<std::uint32_t> rows_of(std::span<std::uint32_t> outputs,
                                     std::size_t tile) const noexcept {
        const std::size_t begin = tile * tile_rows_, left = outputs.size() - begin;
        return outputs.subspan(begin, left < tile_rows_ ? left : tile_rows_);
    }
    /// (stride) the sums of a tile's column vectors, zeros after the last.
    float* sums(std::size_t tile) noexcept { return sums_.data() + tile * stride_; }
    float& lost_of(std::size_t tile) noexcept { return lost_[tile]; }
    /// What a tile loses of its sums once `change` (stride) is added to them.
    float lost_with(std::size_t tile, const float* change) const noexcept {
        return detail::lost_of(sums_.data() + tile * stride_, change, stride_, kept_);
    }

    /// Adds a row of the scores to sums.
    void add_row(matrix_view<const float> scores, std::uint32_t row, float* to) const noexcept {
        for (std::size_t c = 0; c < cols_; ++c) to[c] += scale_ * scores(row, c);
    }
    /// Sums up anew for rows in this order. @return what all tiles lose
    template <executor E>
    double sum_up(matrix_view<const float> scores, std::span<std::uint32_t> outputs,
                  E& run) noexcept;

  private:
    std::size_t cols_ = 0, stride_ = 0, kept_ = 0, tile_rows_ = 0;
    float scale_ = 1.0f;
    buffer<float> sums_;  // (tiles, stride)
    buffer<float> lost_;  // (tiles)
    buffer<float> none_;  // (stride) zeros
};

inline result<output_tiles> output_tiles::make(std::size_t rows, std::size_t cols,
                                               std::size_t tile_rows, std::size_t kept,
                                               float scale) noexcept {
    output_tiles made;
    made.cols_ = cols;
    made.stride_ = padded_to_lanes(cols);
    made.kept_ = kept;
    made.tile_rows_ = tile_rows;
    made.scale_ = scale;
    const std::size_t tiles = (rows + tile_rows - 1) / tile_rows;
    bool ok = true;
    make_array(made.sums_, tiles * made.stride_, ok);
    make_array(made.lost_, tiles, ok);
    make_array(made.none_, made.stride_, ok);
    if (!ok) return error{errc::out_of_memory, "output_tiles: an allocation failed"};
    return made;
}

template <executor E>
double output_tiles::sum_up(matrix_view<const float> scores, std::span<std::uint32_t> outputs,
                            E& run) noexcept {
    run.parallel_for(count(), 1, [&](std::size_t begin, std::size_t end) {
        for (std::size_t t = begin; t < end; ++t) {
            for (std::size_t c = 0; c < stride_; ++c) sums(t)[c] = 0.0f;
            for (const std::uint32_t row : rows_of(outputs, t)) add_row(scores, row, sums(t));
            lost_[t] = lost_with(t, none_.data());
        }
    });
    double sum = 0.0;
    for (const float x : lost_.span()) sum += static_cast<double>(x);
    return sum;
}

}  // namespace pare::prune::inline PARE_ARCH_NAMESPACE::detail

#endif  // PARE_PRUNE_OUTPUT_TILES_HPP
