// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_OCTAVE_SELF_ATTENTION_HPP
#define PARE_OCTAVE_SELF_ATTENTION_HPP

#include "../kernel/convolution.hpp"
#include "../kernel/gemm.hpp"
#include "../kernel/simd/exp.hpp"
#include "../packed/n_m.hpp"
#include "resample.hpp"

#include <cmath>
#include <cstddef>
#include <span>

namespace pare::octave::inline PARE_ARCH_NAMESPACE {
namespace detail {

/// Activations (rows, cols) as dense weights, so that gemm multiplies by them.
/// @param memory  packed::dense<float>::n_values(rows, cols)
inline packed::dense<float> as_weights(matrix_view<const float> x, float* memory) noexcept {
    const packed::dense<float> made =
        packed::dense<float>{x.rows(), x.cols()}.over(memory, nullptr);
    for (std::size_t first = 0; first < x.rows(); first += packed::tile_rows)
        for (std::size_t c = 0; c < x.cols(); ++c)
            for (std::size_t r = first; r < first + packed::tile_rows; ++r)
                *memory++ = r < x.rows() ? x(r, c) : 0.0f;
    return made;
}

/// x = softmax(scale * x)
inline void softmax(std::span<float> x, float scale) noexcept {
    float most = x[0], sum = 0.0f;
    for (const float s : x) most = most < s ? s : most;
    std::size_t i = 0;
#if PARE_HAS_SIMD
    simd::vecf sums(0.0f);
    for (; i + simd::lanes <= x.size(); i += simd::lanes) {
        const simd::vecf e =
            simd::exp_or_zero((simd::load(&x[i]) - simd::vecf(most)) * simd::vecf(scale));
        e.store_unaligned(&x[i]);
        sums += e;
    }
    sum = simd::sum_of(sums);
#endif
    for (; i < x.size(); ++i) sum += x[i] = std::exp((x[i] - most) * scale);
    for (float& p : x) p /= sum;
}

}  // namespace detail

/// Self-attention of the pixels of an image: y = x + projection(softmax(q k^T / sqrt(d)) v), q, k
/// and v being that many heads of d channels each. As a stage of cross_frequency_partial it sees
/// low maps only, a quarter of the tokens and a sixteenth of the scores: the frequency separable
/// self-attention of Shin, "Octave-YOLO", arXiv:2407.19746. Ours: plain softmax, one product for
/// q, k and v, the shortcut, no positional term.
template <packed::known_weights Layout>
    requires packed::layout<Layout>
struct self_attention {
    std::size_t heads = 1;
    Layout query_key_value{};  ///< (3 * channels, channels): all q, then all k, then all v
    epilogue after_query_key_value{};
    Layout projection{};  ///< (channels, channels)
    epilogue after{};     ///< before x is added

    /// The floats of workspace that forward() asks for, x (images, channels, height, width).
    std::size_t workspace_floats(const detail::extents& x) const noexcept {
        if (heads == 0) return 0;
        const std::size_t pixels = x[2] * x[3];
        return 4 * x[1] * pixels + keys_floats(x) + values_floats(x) + queries_at_once * pixels;
    }

    /// Whether forward() takes x and y, but for the workspace.
    status check(const maps<const float>& x, const maps<float>& y) const noexcept {
        if (heads == 0 || x.extent(1) % heads != 0)
            return error{errc::invalid_argument, "self_attention: heads do not divide channels"};
        if (!detail::are_equal(x.extents(), y.extents()))
            return error{errc::shape_mismatch, "self_attention: x and y differ in shape"};
        auto three = x.extents();
        three[1] *= 3;
        const status fit = detail::check_path(query_key_value, {}, x, maps<float>(nullptr, three),
                                              after_query_key_value);
        return fit ? detail::check_path(projection, {}, x, y, after) : fit;
    }

    /// y of x; they must not overlap. Allocates nothing; the same bits for every executor.
    /// @param workspace  workspace_floats(x.extents())
    /// @return shape_mismatch, invalid_argument, not_contiguous, buffer_too_small; y is then
    /// untouched
    template <executor Executor = serial>
    status forward(const maps<const float>& x, const maps<float>& y, std::span<float> workspace,
                   Executor&& run = {}) const noexcept {
        if (const status fit = check(x, y); !fit) return fit;
        if (workspace.size() < workspace_floats(x.extents())) return detail::no_workspace;
        for (std::size_t i = 0; i < x.extent(0); ++i)
            if (const status done = attend(kernel::detail::part(x, 0, i, 1),
                                           kernel::detail::part(y, 0, i, 1), workspace, run);
                !done)
                return done;
        add<1>(x, y, activation::none, run);
        return {};
    }

  private:
    static constexpr std::size_t queries_at_once = 64;  // a panel of gemm

    std::size_t keys_floats(const detail::extents& x) const noexcept {
        return packed::dense<float>::n_values(x[2] * x[3], x[1] / heads);
    }
    std::size_t values_floats(const detail::extents& x) const noexcept {
        return packed::dense<float>::n_values(x[1] / heads, x[2] * x[3]);
    }

    // y = projection(...) of one image.
    status attend(const maps<const float>& x, const maps<float>& y, std::span<float> memory,
                  auto& run) const noexcept {
        auto e = x.extents();
        const std::size_t channels = e[1], pixels = e[2] * e[3], d = channels / heads;
        const maps<float> attended = detail::take(memory, e);
        e[1] = 3 * channels;
        const maps<float> qkv = detail::take(memory, e);
        const status projected =
            kernel::convolve(query_key_value, {}, x, qkv, {}, run, after_query_key_value);
        if (!projected) return projected;
        for (std::size_t h = 0; h < heads; ++h) {
            const auto all = kernel::detail::as_matrix(qkv);
            const auto rows = [&](std::size_t first) {
                return all.block(first + h * d, 0, d, pixels);
            };
            const status done = attend_head(
                rows(0), rows(channels), rows(2 * channels),
                kernel::detail::as_matrix(attended).block(h * d, 0, d, pixels), memory, run);
            if (!done) return done;
        }
        return kernel::convolve(projection, {}, attended, y, {}, run, after);
    }

    // All (d, pixels).
    static status attend_head(matrix_view<const float> q, matrix_view<const float> k,
                              matrix_view<const float> v, matrix_view<float> out,
                              std::span<float> memory, auto& run) noexcept {
        const std::size_t d = q.rows(), pixels = q.cols();
        const auto keys = detail::as_weights(k.transposed(), memory.data());
        memory = memory.subspan(keys.n_values(pixels, d));
        const auto values = detail::as_weights(v, memory.data());
        memory = memory.subspan(values.n_values(d, pixels));
        const float scale = 1.0f / std::sqrt(static_cast<float>(d));
        for (std::size_t t = 0; t < pixels; t += queries_at_once) {
            const std::size_t n = pixels - t < queries_at_once ? pixels - t : queries_at_once;
            const matrix_view<float> scores(memory.data(), n, pixels);
            const status scored = kernel::gemm(keys, q.block(0, t, d, n).transposed(), scores, run);
            if (!scored) return scored;
            run.parallel_for(n, 1, [&](std::size_t begin, std::size_t end) {
                for (; begin < end; ++begin) detail::softmax(scores.row_span(begin), scale);
            });
            const status done =
                kernel::gemm(values, scores, out.block(0, t, d, n).transposed(), run);
            if (!done) return done;
        }
        return {};
    }
};

}  // namespace pare::octave::inline PARE_ARCH_NAMESPACE

#endif  // PARE_OCTAVE_SELF_ATTENTION_HPP
