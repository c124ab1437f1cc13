// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PRUNE_OUTPUT_ANNEALING_HPP
#define PARE_PRUNE_OUTPUT_ANNEALING_HPP

#include "../core/random.hpp"
#include "exponential.hpp"
#include "output_tiles.hpp"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <utility>

namespace pare::prune::inline PARE_ARCH_NAMESPACE::detail {

/// Simulated annealing by exchanges of rows of different tiles. Clustering moves many rows at once;
/// this finds the rest. The memory is made once.
class output_annealing {
  public:
    static result<output_annealing> make(std::size_t rows, std::size_t stride) noexcept;

    /// Rearranges `outputs` (rows), which come back if less was lost in their order.
    template <executor E, class Stop>
    void run(output_tiles& tiles, matrix_view<const float> scores, std::span<std::uint32_t> outputs,
             std::size_t n_exchanges, random& draw, E& run, Stop&& stop) noexcept;

  private:
    struct exchange {
        std::size_t a, b;      // places of two rows in different tiles
        float lost_a, lost_b;  // of their tiles, once exchanged
        float gain;
    };
    exchange try_one(output_tiles& tiles, matrix_view<const float> scores,
                     std::span<const std::uint32_t> outputs, random& draw) noexcept;
    void make_it(output_tiles& tiles, std::span<std::uint32_t> outputs,
                 const exchange& tried) const noexcept;

    // Where annealing begins, in units of what exchanging two rows at random changes.
    static constexpr float hot = 0.5f;

    buffer<float> added_, taken_;   // (stride) what an exchange adds to the sums of both tiles
    buffer<std::uint32_t> before_;  // (rows)
};

inline result<output_annealing> output_annealing::make(std::size_t rows,
                                                       std::size_t stride) noexcept {
    output_annealing made;
    bool ok = true;
    make_array(made.added_, stride, ok);
    make_array(made.taken_, stride, ok);
    make_array(made.before_, rows, ok);
    if (!ok) return error{errc::out_of_memory, "output_annealing: an allocation failed"};
    return made;
}

inline output_annealing::exchange output_annealing::try_one(output_tiles& tiles,
                                                            matrix_view<const float> scores,
                                                            std::span<const std::uint32_t> outputs,
                                                            random& draw) noexcept {
    exchange tried{draw.below(outputs.size()), draw.below(outputs.size()), 0.0f, 0.0f, 0.0f};
    const std::size_t t = tried.a / tiles.tile_rows(), u = tried.b / tiles.tile_rows();
    if (t == u) return tried;
    const float* leaves = scores.row_span(outputs[tried.a]).data();
    const float* comes = scores.row_span(outputs[tried.b]).data();
    for (std::size_t c = 0; c < tiles.cols(); ++c) {
        added_[c] = tiles.scale() * (comes[c] - leaves[c]);
        taken_[c] = -added_[c];
    }
    tried.lost_a = tiles.lost_with(t, added_.data());
    tried.lost_b = tiles.lost_with(u, taken_.data());
    tried.gain = tiles.lost_of(t) + tiles.lost_of(u) - tried.lost_a - tried.lost_b;
    return tried;
}

inline void output_annealing::make_it(output_tiles& tiles, std::span<std::uint32_t> outputs,
                                      const exchange& tried) const noexcept {
    const std::size_t t = tried.a / tiles.tile_rows(), u = tried.b / tiles.tile_rows();
    std::swap(outputs[tried.a], outputs[tried.b]);
    for (std::size_t c = 0; c < tiles.cols(); ++c) {
        tiles.sums(t)[c] += added_[c];
        tiles.sums(u)[c] += taken_[c];
    }
    tiles.lost_of(t) = tried.lost_a;
    tiles.lost_of(u) = tried.lost_b;
}

template <executor E, class Stop>
void output_annealing::run(output_tiles& tiles, matrix_view<const float> scores,
                           std::span<std::uint32_t> outputs, std::size_t n_exchanges, random& draw,
                           E& run, Stop&& stop) noexcept {
    if (!tiles.differ()) return;
    std::memcpy(before_.data(), outputs.data(), outputs.size_bytes());
    const double before = tiles.sum_up(scores, outputs, run);
    float typical = 0.0f;
    for (int i = 0; i < 64; ++i) {
        const float gain = try_one(tiles, scores, outputs, draw).gain;
        typical += (gain < 0.0f ? -gain : gain) / 64;
    }
    bool ended = false;
    for (std::size_t i = 0; i < n_exchanges && !ended; ++i) {
        if (i % 16 == 15) ended = stop();
        const exchange tried = try_one(tiles, scores, outputs, draw);
        const float temperature =
            hot * typical * static_cast<float>(n_exchanges - i) / static_cast<float>(n_exchanges);
        const bool apart = tried.a / tiles.tile_rows() != tried.b / tiles.tile_rows();
        if (apart && tried.gain > -temperature * exponential(draw)) make_it(tiles, outputs, tried);
    }
    if (tiles.sum_up(scores, outputs, run) >= before)
        std::memcpy(outputs.data(), before_.data(), outputs.size_bytes());
}

}  // namespace pare::prune::inline PARE_ARCH_NAMESPACE::detail

#endif  // PARE_PRUNE_OUTPUT_ANNEALING_HPP
