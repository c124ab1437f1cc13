// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PRUNE_OUTPUT_SEARCH_HPP
#define PARE_PRUNE_OUTPUT_SEARCH_HPP

#include "output_annealing.hpp"
#include "output_clustering.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace pare::prune::inline PARE_ARCH_NAMESPACE::detail {

/// Which rows share a tile, so that the best column vectors of all tiles keep most: tiles and what
/// may be done to them. `outputs` (rows) is a permutation, and comes back no worse.
class output_search {
  public:
    static result<output_search> make(std::size_t rows, std::size_t cols, std::size_t tile_rows,
                                      std::size_t kept, float scale) noexcept {
        auto tiles = output_tiles::make(rows, cols, tile_rows, kept, scale);
        if (!tiles) return tiles.error();
        auto clustering = output_clustering::make(*tiles, rows);
        if (!clustering) return clustering.error();
        auto annealing = output_annealing::make(rows, tiles->stride());
        if (!annealing) return annealing.error();
        output_search made;
        made.tiles_ = *std::move(tiles);
        made.clustering_ = *std::move(clustering);
        made.annealing_ = *std::move(annealing);
        return made;
    }

    template <executor E, class Stop>
    status permute(matrix_view<const float> scores, std::span<std::uint32_t> outputs, random& draw,
                   E& run, Stop&& stop) noexcept {
        return clustering_.run(tiles_, scores, outputs, draw, run, stop);
    }
    template <executor E, class Stop>
    void anneal(matrix_view<const float> scores, std::span<std::uint32_t> outputs,
                std::size_t n_exchanges, random& draw, E& run, Stop&& stop) noexcept {
        annealing_.run(tiles_, scores, outputs, n_exchanges, draw, run, stop);
    }

  private:
    output_tiles tiles_;
    output_clustering clustering_;
    output_annealing annealing_;
};

}  // namespace pare::prune::inline PARE_ARCH_NAMESPACE::detail

#endif  // PARE_PRUNE_OUTPUT_SEARCH_HPP
