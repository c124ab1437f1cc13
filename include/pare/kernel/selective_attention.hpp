// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KERNEL_SELECTIVE_ATTENTION_HPP
#define PARE_KERNEL_SELECTIVE_ATTENTION_HPP

#include "../core/buffer.hpp"
#include "../core/executor.hpp"
#include "../core/status.hpp"
#include "../core/tensor_view.hpp"
#include "attention.hpp"
#include "selector.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace pare::kernel::inline PARE_ARCH_NAMESPACE {

/// Attention that reads a part of what is kept: nothing leaves the cache, but less of it is moved.
/// Remembers, for every sequence and layer, what was chosen for which query.
template <class Selector>
class selective_attention {
    static_assert(selector<Selector>, "attention over what a selector chooses");

  public:
    /// @param tokens  of one head at most
    static result<selective_attention> make(const kv::shape& s, const Selector& how,
                                            std::size_t tokens) noexcept {
        selective_attention made;
        auto memory = selector_scratch::make(s, tokens);
        if (!memory) return memory.error();
        const std::size_t places = s.sequences * s.layers, heads = s.kv_heads * s.tiers;
        auto words = buffer<std::uint32_t>::make(places * kv::selection::n_words(s, tokens));
        auto sizes = buffer<std::size_t>::make(places * heads);
        auto states = buffer<state>::make(places);
        auto queries = buffer<float>::make((places + 1) * s.query_heads * s.head_dim);
        if (!words || !sizes || !states || !queries)
            return error{errc::out_of_memory, "memory of a selective attention"};
        made.selector_ = how;
        made.shape_ = s;
        made.tokens_ = tokens;
        made.memory_ = std::move(*memory);
        made.words_ = std::move(*words);
        made.sizes_ = std::move(*sizes);
        made.states_ = std::move(*states);
        made.queries_ = std::move(*queries);
        return made;
    }

    const Selector& how() const noexcept { return selector_; }

    /// kernel::attention() over what is chosen for these queries, whose tokens were appended.
    /// @return what it says; buffer_too_small for another shape
    template <executor Executor = serial>
    status attend(kv::store& s, std::size_t sequence, std::size_t layer,
                  matrix_view<const float> queries, matrix_view<float> out, std::size_t position,
                  attention_scratch& memory, Executor&& run = {},
                  const score_tap& tap = {}) noexcept {
        const std::size_t n = shape_.query_heads * shape_.head_dim;
        bool fits = s.shape() == shape_ && sequence < shape_.sequences && layer < shape_.layers &&
                    queries.cols() == n && queries.col_stride() == 1;
        for (std::size_t h = 0; h < shape_.kv_heads && fits; ++h)
            fits = s.size(sequence, layer, h) <= tokens_ &&
                   memory.fits(shape_, s.size(sequence, layer, h));
        if (!fits)
            return error{errc::buffer_too_small, "a head outgrew the memory, or other shapes"};
        state& last = states_[sequence * shape_.layers + layer];
        if (queries.rows() != 1 && !Selector::chunks_by_mean) {
            last.steps = 0;
            return attention(s, sequence, layer, queries, out, position, memory, run, tap);
        }
        if (queries.rows() == 0) return {};
        average(queries);
        const std::size_t end = position + queries.rows();
        if (last.steps == 0 || !only_grew(s, sequence, layer, end) ||
            selector_.stale(last.steps, query_of(sequence, layer), queries_.span().first(n)))
            choose(s, sequence, layer, position, end, memory);
        ++last.steps;
        const kv::selection chosen = selection_of(sequence, layer);
        return attention(s, sequence, layer, queries, out, position, memory, run, tap, &chosen);
    }

    std::size_t bytes() const noexcept {
        return memory_.bytes() + words_.bytes() + sizes_.bytes() + states_.bytes() +
               queries_.bytes();
    }
    /// Chooses anew: for a sequence that was cleared, forked to or renumbered.
    void forget(std::size_t sequence) noexcept {
        for (std::size_t l = 0; l < shape_.layers; ++l)
            states_[sequence * shape_.layers + l].steps = 0;
    }

  private:
    struct state {
        std::size_t steps = 0;  // queries served by the choice; 0: there is none
        std::size_t end = 0;    // position of the next token when it was made
    };

    selective_attention() noexcept = default;

    // Of a sequence's layer: the words, the query that was chosen for, the sizes of heads then.
    kv::selection selection_of(std::size_t sequence, std::size_t layer) noexcept {
        const std::size_t n = kv::selection::n_words(shape_, tokens_);
        const std::size_t place = sequence * shape_.layers + layer;
        return {shape_, tokens_, words_.span().subspan(place * n, n)};
    }
    std::span<float> query_of(std::size_t sequence, std::size_t layer) noexcept {
        const std::size_t n = shape_.query_heads * shape_.head_dim;
        return queries_.span().subspan((sequence * shape_.layers + layer + 1) * n, n);
    }
    std::size_t& size_of(std::size_t sequence, std::size_t layer, std::size_t kv_head,
                         std::size_t tier) noexcept {
        const std::size_t place = sequence * shape_.layers + layer;
        return sizes_[(place * shape_.kv_heads + kv_head) * shape_.tiers + tier];
    }

    void average(matrix_view<const float> queries) noexcept {
        for (std::size_t i = 0; i < queries.cols(); ++i) {
            float sum = 0.0f;
            for (std::size_t r = 0; r < queries.rows(); ++r) sum += queries(r, i);
            queries_[i] = sum / static_cast<float>(queries.rows());
        }
    }
    // Whether every token since the choice is still there, behind those before: then places hold.
    bool only_grew(const kv::store& s, std::size_t sequence, std::size_t layer,
                   std::size_t end) noexcept {
        const std::size_t grown = end - states_[sequence * shape_.layers + layer].end;
        for (std::size_t h = 0; h < shape_.kv_heads; ++h)
            for (std::size_t t = 0; t < shape_.tiers; ++t)
                if (s.view(sequence, layer, h, t).size !=
                    size_of(sequence, layer, h, t) + (t == 0 ? grown : 0))
                    return false;
        return true;
    }
    void choose(kv::store& s, std::size_t sequence, std::size_t layer, std::size_t position,
                std::size_t end, attention_scratch& memory) noexcept {
        const std::size_t n = shape_.group_size() * shape_.head_dim;
        kv::selection chosen = selection_of(sequence, layer);
        for (std::size_t h = 0; h < shape_.kv_heads; ++h) {
            for (std::size_t t = 0; t < shape_.tiers; ++t)
                size_of(sequence, layer, h, t) = s.view(sequence, layer, h, t).size;
            selector_.choose(s, sequence, layer, h, queries_.span().subspan(h * n, n), position,
                             chosen, memory_, memory);
        }
        const std::span<float> query = query_of(sequence, layer);
        for (std::size_t i = 0; i < query.size(); ++i) query[i] = queries_[i];
        states_[sequence * shape_.layers + layer] = {0, end};
    }

    Selector selector_{};
    kv::shape shape_;
    std::size_t tokens_ = 0;
    selector_scratch memory_;
    buffer<std::uint32_t> words_;
    buffer<std::size_t> sizes_;
    buffer<state> states_;
    buffer<float> queries_;  // the present one, then the one of each choice
};

/// Reads all that is kept.
struct read_all {};

template <>
class selective_attention<read_all> {
  public:
    static result<selective_attention> make(const kv::shape&, const read_all&,
                                            std::size_t) noexcept {
        return selective_attention();
    }
    template <executor Executor = serial>
    status attend(kv::store& s, std::size_t sequence, std::size_t layer,
                  matrix_view<const float> queries, matrix_view<float> out, std::size_t position,
                  attention_scratch& memory, Executor&& run = {},
                  const score_tap& tap = {}) noexcept {
        return attention(s, sequence, layer, queries, out, position, memory, run, tap);
    }
    void forget(std::size_t) noexcept {}
    std::size_t bytes() const noexcept { return 0; }
};

}  // namespace pare::kernel::inline PARE_ARCH_NAMESPACE

namespace pare {
using kernel::read_all;
using kernel::selective_attention;
}  // namespace pare

#endif  // PARE_KERNEL_SELECTIVE_ATTENTION_HPP
