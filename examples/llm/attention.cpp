// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "attention.hpp"

#include "common/error.hpp"
#include "math.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace llm {

namespace {

constexpr std::size_t max_head_dim = 256;  // as parse_config() sees to

// 16 floats in as many registers as the machine needs; gcc and clang.
using vec = float __attribute__((vector_size(lanes * sizeof(float))));

vec load_vec(const float* from) {
    vec v;
    std::memcpy(&v, from, sizeof(v));
    return v;
}

void store_vec(vec v, float* to) { std::memcpy(to, &v, sizeof(v)); }

std::size_t round_up(std::size_t n, std::size_t multiple) {
    return (n + multiple - 1) / multiple * multiple;
}

}  // namespace

rotary::rotary(std::span<const double> frequencies, std::size_t n_positions, bool interleaved)
    : half_(frequencies.size()), interleaved_(interleaved), cosines_(n_positions * half_),
      sines_(n_positions * half_) {
    for (std::size_t p = 0; p < n_positions; ++p)
        for (std::size_t i = 0; i < half_; ++i) {
            const double angle = static_cast<double>(p) * frequencies[i];
            cosines_[p * half_ + i] = static_cast<float>(std::cos(angle));
            sines_[p * half_ + i] = static_cast<float>(std::sin(angle));
        }
}

void rotary::apply(pare::matrix_view<float> heads, std::size_t position) const {
    const std::size_t step = interleaved_ ? 2 : 1, other = interleaved_ ? 1 : half_;
    for (std::size_t t = 0; t < heads.rows(); ++t) {
        const std::span<float> row = heads.row_span(t);
        const float* const c = cosines_.data() + (position + t) * half_;
        const float* const s = sines_.data() + (position + t) * half_;
        for (std::size_t head = 0; head < row.size(); head += 2 * half_)
            for (std::size_t i = 0; i < half_; ++i) {
                float& first = row[head + i * step];
                float& second = row[head + i * step + other];
                const float a = first, b = second;
                first = a * c[i] - b * s[i];
                second = a * s[i] + b * c[i];
            }
    }
}

kv_cache::kv_cache(const config& shape, std::size_t capacity)
    : n_heads_(shape.n_heads), n_kv_heads_(shape.n_kv_heads), head_dim_(shape.head_dim),
      padded_dim_(round_up(head_dim_, lanes)), capacity_(round_up(capacity, block)) {
    const std::size_t rows = shape.n_layers * n_kv_heads_ * capacity_;
    keys_ = tools::value_of(pare::buffer<float>::make(rows * head_dim_), "the key cache");
    values_ = tools::value_of(pare::buffer<float>::make(rows * padded_dim_), "the value cache");
}

void kv_cache::store(std::size_t layer, std::size_t position, pare::matrix_view<const float> keys,
                     pare::matrix_view<const float> values) {
    for (std::size_t h = 0; h < n_kv_heads_; ++h) {
        const std::size_t head = layer * n_kv_heads_ + h;
        float* const k = keys_.data() + head * head_dim_ * capacity_ + position;
        float* const v = values_.data() + (head * capacity_ + position) * padded_dim_;
        for (std::size_t t = 0; t < keys.rows(); ++t)
            for (std::size_t d = 0; d < head_dim_; ++d) {
                k[d * capacity_ + t] = keys(t, h * head_dim_ + d);
                v[t * padded_dim_ + d] = values(t, h * head_dim_ + d);
            }
    }
}

void kv_cache::attend(std::size_t layer, std::size_t position,
                      pare::matrix_view<const float> queries, pare::matrix_view<float> out,
                      pare::thread_pool& run) const {
    constexpr std::size_t together = 4;
    const std::size_t n_sharing = n_heads_ / n_kv_heads_;  // query heads of one key/value head
    const std::size_t n_rows = queries.rows() * n_sharing;
    const std::size_t n_groups = (n_rows + together - 1) / together;
    // A range of work is at least some ten microseconds.
    const std::size_t cost = (position + queries.rows()) * head_dim_ * together;
    const std::size_t grain = std::max<std::size_t>(1, 131072 / cost);
    run.parallel_for(n_kv_heads_ * n_groups, grain, [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) {
            const std::size_t head = i / n_groups, first = i % n_groups * together;
            const float* const keys =
                keys_.data() + (layer * n_kv_heads_ + head) * head_dim_ * capacity_;
            const float* const values =
                values_.data() + (layer * n_kv_heads_ + head) * capacity_ * padded_dim_;
            query some[together];
            const std::size_t n = std::min(together, n_rows - first);
            for (std::size_t j = 0; j < n; ++j) {
                const std::size_t t = (first + j) / n_sharing;
                const std::size_t at = (head * n_sharing + (first + j) % n_sharing) * head_dim_;
                some[j] = {&queries(t, at), &out(t, at), position + t + 1};
            }
            if (n == 1) attend_some<1>({some, 1}, keys, values);
            else attend_some<together>({some, n}, keys, values);
        }
    });
}

// Softmax over blocks of tokens with a running maximum, so that no row of scores is stored.
template <std::size_t Q>
void kv_cache::attend_some(std::span<const query> queries, const float* keys,
                           const float* values) const {
    const float scale = 1.0f / std::sqrt(static_cast<float>(head_dim_));
    const std::size_t n_tokens = queries.back().n_tokens;  // the last one sees most
    float sum[Q][max_head_dim] = {}, largest[Q], total[Q] = {};
    std::fill_n(largest, Q, -INFINITY);
    for (std::size_t first = 0; first < n_tokens; first += block) {
        alignas(vec) float score[Q][block];
        for (std::size_t begin = 0; begin < block; begin += 2 * lanes) {
            vec low[Q] = {}, high[Q] = {};
            for (std::size_t d = 0; d < head_dim_; ++d) {
                const float* const k = keys + d * capacity_ + first + begin;
                const vec k_low = load_vec(k), k_high = load_vec(k + lanes);
                for (std::size_t q = 0; q < Q; ++q) {
                    const float x = queries[q < queries.size() ? q : 0].in[d];
                    low[q] += x * k_low;
                    high[q] += x * k_high;
                }
            }
            for (std::size_t q = 0; q < Q; ++q) {
                store_vec(low[q] * scale, score[q] + begin);
                store_vec(high[q] * scale, score[q] + begin + lanes);
            }
        }
        float shrink[Q] = {};
        for (std::size_t q = 0; q < queries.size(); ++q) {
            if (queries[q].n_tokens <= first) {  // sees none of this block
                std::fill_n(score[q], block, 0.0f);
                shrink[q] = 1.0f;
                continue;
            }
            const std::size_t n = std::min(block, queries[q].n_tokens - first);
            const float new_largest = std::max(largest[q], max_of({score[q], n}));
            shrink[q] = fast_exp(largest[q] - new_largest);
            largest[q] = new_largest;
            for (std::size_t t = 0; t < block; ++t)
                score[q][t] = t < n ? fast_exp(score[q][t] - new_largest) : 0.0f;
            total[q] = total[q] * shrink[q] + sum_of({score[q], block});
        }
        const std::size_t n = std::min(block, n_tokens - first);
        for (std::size_t d = 0; d < padded_dim_; d += lanes) {
            vec part[Q];
            for (std::size_t q = 0; q < Q; ++q) part[q] = load_vec(sum[q] + d) * shrink[q];
            const float* v = values + first * padded_dim_ + d;
            for (std::size_t t = 0; t < n; ++t, v += padded_dim_) {
                const vec row = load_vec(v);
                for (std::size_t q = 0; q < Q; ++q) part[q] += score[q][t] * row;
            }
            for (std::size_t q = 0; q < Q; ++q) store_vec(part[q], sum[q] + d);
        }
    }
    for (std::size_t q = 0; q < queries.size(); ++q)
        for (std::size_t d = 0; d < head_dim_; ++d) queries[q].out[d] = sum[q][d] / total[q];
}

}  // namespace llm
