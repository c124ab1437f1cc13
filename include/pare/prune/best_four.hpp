// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PRUNE_BEST_FOUR_HPP
#define PARE_PRUNE_BEST_FOUR_HPP

#include "../core/tensor_view.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>

namespace pare::prune::inline PARE_ARCH_NAMESPACE::detail {

/// A block of up to V rows and M columns, and the four columns of which N:4 keeps most: all sets
/// are tried, in doubles, rows side by side.
template <int V, int N, int M>
class best_four {
  public:
    /// Columns [first, first + n) of some rows; n is 4 to M.
    void read(matrix_view<const float> scores, std::span<const std::uint32_t> rows,
              std::size_t first, std::size_t n) noexcept {
        n_ = n;
        for (std::size_t c = 0; c < n; ++c)
            for (std::size_t i = 0; i < stride; ++i)
                scores_[c * stride + i] =
                    i < rows.size() ? static_cast<double>(scores(rows[i], first + c)) : 0.0;
    }

    /// Ascending; of equal sets the first.
    std::array<std::size_t, 4> find() const noexcept {
        std::array<std::size_t, 4> best{0, 1, 2, 3};
        double most = std::numeric_limits<double>::lowest();
        pair_of_columns pair;
        for (std::size_t a = 0; a < n_; ++a)
            for (std::size_t b = a + 1; b < n_; ++b) {
                pair.set(column(a), column(b));
                for (std::size_t c = b + 1; c < n_; ++c)
                    for (std::size_t d = c + 1; d < n_; ++d) {
                        const double kept = pair.kept_with(column(c), column(d));
                        if (kept > most) most = kept, best = {a, b, c, d};
                    }
            }
        return best;
    }

  private:
    static constexpr std::size_t n_lanes = 8;
    using lanes [[gnu::vector_size(n_lanes * sizeof(double))]] = double;
    static constexpr std::size_t stride = (V + n_lanes - 1) / n_lanes * n_lanes;

    static void load(lanes& to, const double* from) noexcept { std::memcpy(&to, from, sizeof(to)); }
    // Sum and extremes of two columns, row by row: what N:4 keeps of them and two others follows.
    struct pair_of_columns {
        alignas(64) std::array<lanes, stride / n_lanes> sum, most, least;

        void set(const double* a, const double* b) noexcept {
            for (std::size_t i = 0; i < sum.size(); ++i) {
                lanes x, y;
                load(x, a + i * n_lanes), load(y, b + i * n_lanes);
                sum[i] = x + y;
                most[i] = x > y ? x : y;
                least[i] = x > y ? y : x;
            }
        }
        double kept_with(const double* c, const double* d) const noexcept {
            lanes total{};
            for (std::size_t i = 0; i < sum.size(); ++i) {
                lanes x, y;
                load(x, c + i * n_lanes), load(y, d + i * n_lanes);
                const lanes higher = x > y ? x : y;
                if constexpr (N == 1) total += most[i] > higher ? most[i] : higher;
                else if constexpr (N == 2) {
                    const lanes crossed = most[i] + higher, both = x + y;
                    const lanes one = sum[i] > both ? sum[i] : both;
                    total += crossed > one ? crossed : one;
                } else if constexpr (N == 3) {
                    const lanes lower = x > y ? y : x;
                    total += sum[i] + x + y - (least[i] > lower ? lower : least[i]);
                } else {
                    total += sum[i] + x + y;
                }
            }
            double kept = 0.0;
            for (std::size_t i = 0; i < n_lanes; ++i) kept += total[i];
            return kept;
        }
    };
    const double* column(std::size_t c) const noexcept { return scores_.data() + c * stride; }

    std::size_t n_ = 0;
    alignas(64) std::array<double, std::size_t{M} * stride> scores_;
};

}  // namespace pare::prune::inline PARE_ARCH_NAMESPACE::detail

#endif  // PARE_PRUNE_BEST_FOUR_HPP
