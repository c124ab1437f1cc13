// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_QUANT_GPTQ_HPP
#define PARE_QUANT_GPTQ_HPP

#include "../core/buffer.hpp"
#include "../core/executor.hpp"
#include "../core/status.hpp"
#include "../core/tensor_view.hpp"
#include "../packed/for_each_code.hpp"
#include "../prune/mask.hpp"
#include "cast.hpp"

#include <atomic>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>

namespace pare::quant {

/// A codec whose layer makes up in the weights still to come for what pruning and rounding take
/// from each: Frantar et al., "GPTQ", arXiv:2210.17323, joined with pruning as in "SparseGPT",
/// arXiv:2301.00774. Needs calibration::inverse_hessian_factor. The mask is that of the recipe's
/// saliency and pattern, the grids are those of the weights compensated for pruning alone (GPTQ's
/// static groups), so that it works on every layout, in any order.
template <codec Codec>
struct gptq : Codec {
    static constexpr bool compensates = true;
};
template <codec Codec>
gptq(Codec) -> gptq<Codec>;

/// A codec that may: where `compensates` is true, be that known at compile time or not.
template <class C>
concept compensating = codec<C> && requires(const C& c) {
    { c.compensates } -> std::convertible_to<bool>;
};

inline namespace PARE_ARCH_NAMESPACE {
namespace detail {

/// Every place [0, rows) of `out` becomes what is stored of it. Column after column of the row
/// row_of(place), stored(row, column, w, grid) gives what is stored for w, and the error is spread
/// over the columns that follow. grids(place, put) puts the grids that a row has: put(column,
/// grid).
/// @return missing_calibration, out_of_memory
template <executor Executor>
status sweep(matrix_view<const float> weights, matrix_view<const float> factor,
             matrix_view<float> out, Executor& run, auto&& row_of, auto&& grids,
             auto&& stored) noexcept {
    constexpr std::size_t together = 16;  // rows that share a pass over the factor
    const std::size_t rows = weights.rows(), cols = weights.cols();
    if (factor.rows() != cols || factor.cols() != cols)
        return error{errc::missing_calibration,
                     "gptq needs the factor of the inverse Hessian of its input"};
    std::atomic<bool> without_memory = false;
    run.parallel_for((rows + together - 1) / together, 1, [&](std::size_t item, std::size_t end) {
        auto memory = buffer<float>::make(cols * together);
        auto of = buffer<packed::grid>::make(cols * together);
        if (!memory || !of) without_memory = true;
        for (; memory && of && item < end; ++item) {
            const std::size_t first = item * together;
            const std::size_t n = rows - first < together ? rows - first : together;
            for (std::size_t r = 0; r < n; ++r) {
                for (std::size_t c = 0; c < cols; ++c) {
                    (*memory)[r * cols + c] = weights(row_of(first + r), c);
                    (*of)[r * cols + c] = {};
                }
                grids(first + r,
                      [&](std::size_t c, const packed::grid& g) { (*of)[r * cols + c] = g; });
            }
            for (std::size_t c = 0; c < cols; ++c)
                for (std::size_t r = 0; r < n; ++r) {
                    float* const row = memory->data() + r * cols;
                    const std::size_t to = row_of(first + r);
                    const float kept = stored(to, c, row[c], (*of)[r * cols + c]);
                    const float lost = (row[c] - kept) / factor(c, c);
                    out(to, c) = kept;
                    const float* const u = &factor(c, 0);
                    for (std::size_t k = c + 1; k < cols; ++k) row[k] -= lost * u[k];
                }
        }
    });
    if (without_memory) return error{errc::out_of_memory, "gptq: no memory for its rows"};
    return {};
}

}  // namespace detail

/// Weights (rows, cols) with what pruning takes made up for by those that are kept, into `out`,
/// pruned ones 0.
/// @param factor  (cols, cols), rows consecutive: the upper triangle U of U^T U = H^-1,
///                eigen::inverse_hessian_factor()
/// @return missing_calibration for a factor of another shape, out_of_memory
template <executor Executor = serial>
status compensate(matrix_view<const float> weights, prune::const_mask_view kept,
                  matrix_view<const float> factor, matrix_view<float> out,
                  Executor&& run = {}) noexcept {
    return detail::sweep(
        weights, factor, out, run, [](std::size_t place) { return place; },
        [](std::size_t /*place*/, auto&& /*put*/) {},
        [&](std::size_t r, std::size_t c, float w, const packed::grid& /*of*/) {
            return kept(r, c) ? w : 0.0f;
        });
}

/// Chooses the codes of packed weights anew, on the grids they have, so that each makes up for what
/// pruning and rounding took from the weights before it. weights (rows, cols) and kept as they were
/// packed, but before compensate(); out (rows, cols) is scratch and then what the codes stand for.
/// @param values  the memory of packed.values
/// @return missing_calibration, out_of_memory
template <packed::known_weights Layout, executor Executor = serial>
    requires(packed::is_coded<typename Layout::value_type>)
status requantise(const Layout& packed, std::span<std::uint32_t> values,
                  matrix_view<const float> weights, prune::const_mask_view kept,
                  matrix_view<const float> factor, matrix_view<float> out, Executor&& run = {})
noexcept {
    using T = typename Layout::value_type;
    const auto each = [&](std::size_t place, auto&& visit) {
        const std::size_t row = packed.output(place);
        packed::for_each_code(
            packed, place,
            [&](std::size_t c, std::size_t word, std::size_t shift, const packed::grid& of) {
                if (kept(row, c)) visit(row, c, word, shift, of);
            });
    };
    const status swept = detail::sweep(
        weights, factor, out, run, [&](std::size_t place) { return packed.output(place); },
        [&](std::size_t place, auto&& put) {
            each(place, [&](std::size_t, std::size_t c, std::size_t, std::size_t,
                            const packed::grid& of) { put(c, of); });
        },
        [](std::size_t, std::size_t, float w, const packed::grid& of) {
            return T::weight(T::encode(w, of), of);
        });
    if (!swept) return swept;
    constexpr std::uint32_t mask = (1u << T::bits) - 1;
    for (std::size_t place = 0; place < packed.rows; ++place)
        each(place, [&](std::size_t row, std::size_t c, std::size_t word, std::size_t shift,
                        const packed::grid& of) {
            values[word] = (values[word] & ~(mask << shift)) |
                           std::uint32_t{T::encode(out(row, c), of)} << shift;
        });
    return {};
}

/// The layer that pack(weights) makes, by gptq. scratch (rows, cols).
/// @return what compensate(), pack() and requantise() do
template <class Layout>
result<Layout> compensated(matrix_view<const float> weights, prune::const_mask_view kept,
                           matrix_view<const float> factor, matrix_view<float> scratch,
                           std::span<typename Layout::element_type> values, auto& run,
                           auto&& pack) noexcept {
    if (auto ok = compensate(weights, kept, factor, scratch, run); !ok) return ok.error();
    const result<Layout> packed = pack(matrix_view<const float>(scratch));
    if constexpr (packed::is_coded<typename Layout::value_type>)
        if (packed)
            if (auto ok = requantise(*packed, values, weights, kept, factor, scratch, run); !ok)
                return ok.error();
    return packed;
}

}  // namespace PARE_ARCH_NAMESPACE

}  // namespace pare::quant

#endif  // PARE_QUANT_GPTQ_HPP
