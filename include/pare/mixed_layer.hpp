// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_MIXED_LAYER_HPP
#define PARE_MIXED_LAYER_HPP

#include "compress.hpp"
#include "kernel/gemm.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>

namespace pare::inline PARE_ARCH_NAMESPACE {

/// A layer whose output channels are stored in two ways, as those that quant::mixllm ranks: `high`
/// has some of them, `low` the others, either perhaps none.
template <packed::layout High, packed::layout Low>
struct mixed_layer {
    std::optional<layer<High>> high;
    std::optional<layer<Low>> low;
    buffer<std::uint32_t> outputs;  ///< (rows) the output channels of high's rows, then of low's
    std::size_t cols = 0;

    std::size_t rows() const noexcept { return outputs.size(); }
    /// Of a product with that many tokens.
    std::size_t scratch_floats(std::size_t tokens) const noexcept { return tokens * rows(); }
    /// Of both parts and of the list of outputs. retained adds up saliency as either part's recipe
    /// counts it.
    layer_report report() const noexcept {
        layer_report all{.bytes = outputs.bytes()};
        prune::saliency_sums sums;
        const auto add = [&](const auto& part) {
            if (!part) return;
            const double share =
                static_cast<double>(part->view().rows) / static_cast<double>(rows());
            all.bytes += part->report().bytes;
            all.sparsity += share * part->report().sparsity;
            sums.total += part->report().saliency;
            sums.kept += part->report().saliency * part->report().retained;
        };
        add(high), add(low);
        all.retained = sums.share();
        all.saliency = sums.total;
        all.bits_per_weight = static_cast<double>(all.bytes) * 8.0 /
                              (static_cast<double>(rows()) * static_cast<double>(cols));
        return all;
    }
};

/// Compresses the output channels marked in `high` (1, rows) by one recipe and the others by
/// another, weights (rows, cols). Offline: allocates a copy of the weights and what compress()
/// does.
/// @return what compress() returns; shape_mismatch when `high` has not a bit per row
template <class HighRecipe, class LowRecipe, executor Executor = serial>
auto compress_mixed(matrix_view<const float> weights, prune::const_mask_view high,
                    const HighRecipe& by_high, const LowRecipe& by_low,
                    const prune::calibration& inputs = {}, Executor&& run = {}) noexcept {
    using high_layer = typename decltype(compress(weights, by_high, inputs, run))::value_type;
    using low_layer = typename decltype(compress(weights, by_low, inputs, run))::value_type;
    using mixed = mixed_layer<packed::layout_of<high_layer>, packed::layout_of<low_layer>>;
    const auto made = [&]() -> result<mixed> {
        const std::size_t rows = weights.rows(), cols = weights.cols();
        if (rows == 0 || cols == 0)
            return error{errc::shape_mismatch, "the weight matrix is empty"};
        if (high.rows() != 1 || high.cols() != rows)
            return error{errc::shape_mismatch, "compress_mixed: one bit per output channel"};
        auto outputs = buffer<std::uint32_t>::make(rows);
        auto memory = buffer<float>::make(rows * cols);
        if (!outputs || !memory) return detail::no_memory;
        const matrix_view<float> sorted(memory->data(), rows, cols);
        std::size_t n = 0, n_high = 0;
        for (const bool now : {true, false}) {
            for (std::size_t r = 0; r < rows; ++r)
                if (high(0, r) == now) {
                    for (std::size_t c = 0; c < cols; ++c) sorted(n, c) = weights(r, c);
                    outputs->data()[n++] = static_cast<std::uint32_t>(r);
                }
            if (now) n_high = n;
        }
        mixed both{{}, {}, *std::move(outputs), cols};
        const auto fill = [&](auto& part, std::size_t first, std::size_t end,
                              const auto& recipe) -> status {
            if (first == end) return {};
            auto packed = compress(sorted.block(first, 0, end - first, cols), recipe, inputs, run);
            if (!packed) return packed.error();
            part.emplace(*std::move(packed));
            return {};
        };
        if (auto ok = fill(both.high, 0, n_high, by_high); !ok) return ok.error();
        if (auto ok = fill(both.low, n_high, rows, by_low); !ok) return ok.error();
        return both;
    };
    return made();
}

/// y = x W^T as gemm() of either part, then every sum goes where it belongs and through the
/// epilogue. scratch: scratch_floats(tokens), or more; overlaps neither x nor y.
/// @return what gemm() returns; buffer_too_small
template <packed::layout High, packed::layout Low, executor Executor = serial>
status gemm(const mixed_layer<High, Low>& w, matrix_view<const float> x, matrix_view<float> y,
            std::span<float> scratch, Executor&& run = {}, const epilogue& after = {}) noexcept {
    const std::size_t tokens = x.rows(), rows = w.rows();
    if (x.cols() != w.cols || y.cols() != rows || tokens != y.rows())
        return error{errc::shape_mismatch, "gemm: x (tokens, in), y (tokens, out) and W disagree"};
    if (!fits(after, rows))
        return error{errc::shape_mismatch, "gemm: one bias and one scale per output channel"};
    if (scratch.size() < w.scratch_floats(tokens))
        return error{errc::buffer_too_small, "gemm: scratch is not scratch_floats() long"};
    const matrix_view<float> sums(scratch.data(), tokens, rows);
    const std::size_t n_high = w.high ? w.high->view().rows : 0;
    if (w.high)
        if (auto ok = gemm(*w.high, x, sums.block(0, 0, tokens, n_high), run); !ok) return ok;
    if (w.low)
        if (auto ok = gemm(*w.low, x, sums.block(0, n_high, tokens, rows - n_high), run); !ok)
            return ok;
    run.parallel_for(rows, 256, [&](std::size_t begin, std::size_t end) {
        for (std::size_t t = 0; t < tokens; ++t)
            for (std::size_t i = begin; i < end; ++i) {
                const std::size_t r = w.outputs.data()[i];
                y(t, r) = kernel::finish(after, r, sums(t, i));
            }
    });
    return {};
}

}  // namespace pare::inline PARE_ARCH_NAMESPACE

#endif  // PARE_MIXED_LAYER_HPP
