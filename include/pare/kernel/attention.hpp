// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KERNEL_ATTENTION_HPP
#define PARE_KERNEL_ATTENTION_HPP

#include "../core/buffer.hpp"
#include "../core/executor.hpp"
#include "../core/status.hpp"
#include "../core/tensor_view.hpp"
#include "../kv/selection.hpp"
#include "../kv/store.hpp"
#include "attention_reference.hpp"
#include "score_tap.hpp"
#include "simd/attention_pass.hpp"

#include <array>
#include <cstddef>
#include <span>

namespace pare::kernel::inline PARE_ARCH_NAMESPACE {

/// Memory for attention(), made once and used by all layers: a part for every KV head, for heads
/// may run side by side; heads that run one after the other use the same part.
class attention_scratch {
  public:
    /// @param tokens  of one head at most
    /// @return invalid_argument for more than 256 query heads per KV head; out_of_memory
    static result<attention_scratch> make(const kv::shape& s, std::size_t tokens) noexcept {
        if (s.kv_heads == 0 || s.group_size() > simd::max_group_size)
            return error{errc::invalid_argument, "256 query heads per KV head at most"};
        if (tokens >= std::size_t{1} << 32)
            return error{errc::invalid_argument, "positions have 32 bits", tokens};
        attention_scratch made;
        made.shape_ = s;
        made.tokens_ = tokens;
        made.floats_ = simd::pass_floats(s.group_size(), s.head_dim, tokens);
        auto floats = buffer<float>::make(made.floats_ * s.kv_heads);
        if (!floats) return floats.error();
        made.memory_ = std::move(*floats);
#if !PARE_HAS_SIMD
        made.doubles_ = s.group_size() * tokens + s.head_dim;
        auto doubles = buffer<double>::make(made.doubles_ * s.kv_heads);
        if (!doubles) return doubles.error();
        made.wide_ = std::move(*doubles);
#endif
        return made;
    }

    /// Whether heads of this shape and length may use it.
    bool fits(const kv::shape& s, std::size_t tokens) const noexcept {
        return tokens <= tokens_ && s.kv_heads == shape_.kv_heads &&
               s.query_heads == shape_.query_heads && s.head_dim == shape_.head_dim;
    }
    std::size_t bytes() const noexcept {
#if PARE_HAS_SIMD
        return memory_.bytes();
#else
        return memory_.bytes() + wide_.bytes();
#endif
    }
    std::span<float> of_head(std::size_t kv_head) noexcept {
        return memory_.span().subspan(kv_head * floats_, floats_);
    }
#if !PARE_HAS_SIMD
    std::span<double> wide_of_head(std::size_t kv_head) noexcept {
        return wide_.span().subspan(kv_head * doubles_, doubles_);
    }
#endif

  private:
    kv::shape shape_;
    std::size_t tokens_ = 0, floats_ = 0;
    buffer<float> memory_;
#if !PARE_HAS_SIMD
    std::size_t doubles_ = 0;
    buffer<double> wide_;
#endif
};

namespace detail {

inline std::array<kv::tier_rows, kv::max_tiers> tiers_of(kv::store& s, std::size_t sequence,
                                                         std::size_t layer, std::size_t kv_head,
                                                         const kv::selection* chosen) noexcept {
    std::array<kv::tier_rows, kv::max_tiers> tiers{};
    for (std::size_t t = 0; t < s.shape().tiers; ++t)
        tiers[t] = {s.rows(sequence, layer, kv_head, t), &s.layout(layer, t),
                    chosen == nullptr ? nullptr : chosen->rows(kv_head, t).data()};
    return tiers;
}

}  // namespace detail

/// out = softmax(q k^T / sqrt(head_dim)) v of one layer. queries, out: (tokens, query_heads *
/// head_dim); query i stands at `position` + i and sees the kept tokens there and before; of a head
/// where it sees none it gets zeros. In the same pass every kept token's
/// ledger sum takes its probabilities, as `tap` says. With a selection, only the tokens that it
/// names are there to be seen. Allocates nothing; the same bits for every executor and thread
/// count.
/// @return shape_mismatch; not_contiguous; buffer_too_small when a head has more tokens than
/// `memory` was made for, or the store another shape
template <executor Executor = serial>
status attention(kv::store& s, std::size_t sequence, std::size_t layer,
                 matrix_view<const float> queries, matrix_view<float> out, std::size_t position,
                 attention_scratch& memory, Executor&& run = {}, const score_tap& tap = {},
                 const kv::selection* chosen = nullptr) noexcept {
    const kv::shape& shape = s.shape();
    const std::size_t group_size = shape.group_size(), dim = shape.head_dim;
    if (queries.cols() != shape.query_heads * dim || queries.extents() != out.extents())
        return error{errc::shape_mismatch, "queries and out: (tokens, query_heads * head_dim)"};
    if (queries.col_stride() != 1 || out.col_stride() != 1)
        return error{errc::not_contiguous, "queries and out need consecutive columns"};
    if (!tap.weights.empty() && tap.weights.size() != queries.rows())
        return error{errc::shape_mismatch, "the tap has one weight per query"};
    if (sequence >= shape.sequences || layer >= shape.layers)
        return error{errc::invalid_argument, "no such sequence or layer"};
    std::size_t most = 1;
    for (std::size_t h = 0; h < shape.kv_heads; ++h) {
        const std::size_t n = s.size(sequence, layer, h);
        if (!memory.fits(shape, n))
            return error{errc::buffer_too_small, "a head outgrew the scratch, or its shape", h};
        if (chosen != nullptr && n > chosen->tokens())
            return error{errc::buffer_too_small, "a head outgrew the selection", h};
        most = n > most ? n : most;
    }
    // Waking a thread is worth some ten microseconds of work.
    const std::size_t grain = 1 + 131072 / (most * dim * group_size * (queries.rows() + 1));
    run.parallel_for(shape.kv_heads, grain, [&](std::size_t begin, std::size_t end) {
        for (std::size_t h = begin; h < end; ++h) {
            const auto all = detail::tiers_of(s, sequence, layer, h, chosen);
            const auto tiers = std::span<const kv::tier_rows>(all).first(shape.tiers);
#if PARE_HAS_SIMD
            const std::size_t at_once = simd::pass_rows(group_size) / group_size;
            simd::attention_pass pass(dim, group_size, memory.of_head(begin));
            const std::size_t first_col = h * group_size * dim;
            score_tap part = tap;
            for (std::size_t i = 0; i < queries.rows(); i += at_once) {
                const std::size_t n = queries.rows() - i < at_once ? queries.rows() - i : at_once;
                if (!tap.weights.empty()) part.weights = tap.weights.subspan(i, n);
                pass.run(tiers, queries.block(i, first_col, n, group_size * dim),
                         out.block(i, first_col, n, group_size * dim), position + i, part);
                part.carry = 1.0f;
            }
#else
            attention_ref(tiers, dim, h * group_size, group_size, queries, out,
                          position, tap, memory.wide_of_head(begin),
                          memory.of_head(begin).first(dim));
#endif
        }
    });
    return {};
}

}  // namespace pare::kernel::inline PARE_ARCH_NAMESPACE

namespace pare {
using kernel::attention;
using kernel::attention_scratch;
using kernel::score_tap;
}  // namespace pare

#endif  // PARE_KERNEL_ATTENTION_HPP
