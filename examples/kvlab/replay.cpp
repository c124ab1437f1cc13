// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "replay.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>
#include <memory>

namespace kvlab {

namespace {

namespace kv = pare::kv;

/// |a - b|^2 / |b|^2; 0 where b is zero.
double squared_error(std::span<const float> a, std::span<const float> b) {
    double error = 0.0, reference = 0.0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        const auto x = static_cast<double>(a[i]), y = static_cast<double>(b[i]);
        error += (x - y) * (x - y);
        reference += y * y;
    }
    return reference == 0.0 ? 0.0 : error / reference;
}

// Of a head of sequence 0.
void read_positions(const kv::store& tokens, std::size_t layer, std::size_t head,
                    std::vector<std::uint32_t>& positions) {
    positions.clear();
    for (std::size_t tier = 0; tier < tokens.shape().tiers; ++tier)
        for (const kv::ledger_row* row = tokens.view(0, layer, head, tier).first; row != nullptr;
             row = row->next)
            positions.insert(positions.end(), row->positions.begin(),
                             row->positions.begin() + row->size);
}

}  // namespace

full_attention::full_attention(const trace& t, const std::function<void()>& told)
    : n_layers_(t.shape.n_layers), n_heads_(t.shape.n_heads), head_dim_(t.shape.head_dim),
      n_tokens_(t.n_tokens()), probabilities_(row_at(n_layers_, 0, 0)),
      best_(probabilities_.size()), outputs_(n_layers_ * n_tokens_ * n_heads_ * head_dim_) {
    for (std::size_t l = 0; l < n_layers_; ++l) {
        for (std::size_t h = 0; h < n_heads_; ++h)
            for (std::size_t i = 0; i < n_tokens_; ++i) attend(t, l, h, i);
        told();
    }
}

void full_attention::attend(const trace& t, std::size_t layer, std::size_t head,
                            std::size_t query) {
    const std::size_t kv_column = head / (n_heads_ / t.shape.n_kv_heads) * head_dim_;
    const auto of_head = [&](pare::matrix_view<const float> x, std::size_t row) {
        return x.row_span(row).subspan(kv_column, head_dim_);
    };
    const auto q = t.queries(layer).row_span(query).subspan(head * head_dim_, head_dim_);
    std::vector<double> p(query + 1), sum(head_dim_);
    for (std::size_t i = 0; i <= query; ++i) {
        const auto k = of_head(t.keys(layer), i);
        for (std::size_t d = 0; d < head_dim_; ++d)
            p[i] += static_cast<double>(q[d]) * static_cast<double>(k[d]);
        p[i] /= std::sqrt(static_cast<double>(head_dim_));
    }
    const double most = *std::max_element(p.begin(), p.end());
    double total = 0.0;
    for (double& x : p) total += x = std::exp(x - most);
    for (std::size_t i = 0; i <= query; ++i) {
        p[i] /= total;
        const auto v = of_head(t.values(layer), i);
        for (std::size_t d = 0; d < head_dim_; ++d) sum[d] += p[i] * static_cast<double>(v[d]);
    }
    float* const out =
        outputs_.data() + ((layer * n_tokens_ + query) * n_heads_ + head) * head_dim_;
    std::copy(sum.begin(), sum.end(), out);

    const std::size_t at = row_at(layer, head, query);
    std::copy(p.begin(), p.end(), probabilities_.data() + at);
    double best = p.back();
    best_[at] = static_cast<float>(best);
    std::sort(p.begin(), p.end() - 1, std::greater<>());
    for (std::size_t n = 1; n <= query; ++n) best_[at + n] = static_cast<float>(best += p[n - 1]);
}

double full_attention::oracle_mass(std::size_t budget) const {
    double sum = 0.0;
    for (std::size_t l = 0; l < n_layers_; ++l)
        for (std::size_t h = 0; h < n_heads_; ++h)
            for (std::size_t i = 0; i < n_tokens_; ++i)
                sum += static_cast<double>(best(l, h, i)[std::min(budget, i)]);
    return sum / static_cast<double>(n_layers_ * n_heads_ * n_tokens_);
}

outcome replay(const trace& t, const full_attention& full, const llm::cache_options& o,
               pare::thread_pool& run, const observer& seen) {
    using clock = std::chrono::steady_clock;
    const llm::config& s = t.shape;
    const std::size_t n = t.n_tokens(), group = s.n_heads / s.n_kv_heads;
    const auto cache = llm::make_cache(s, o, n, 1);
    std::vector<float> out(s.n_heads * s.head_dim);
    std::vector<std::uint32_t> visible;
    const auto row = [](pare::matrix_view<const float> x, std::size_t i) {
        return x.block(i, 0, 1, x.cols());
    };

    outcome sum{.policy = o.recipe.text, .budget = o.tokens};
    clock::duration spent{};
    for (std::size_t i = 0; i < n; ++i)
        for (std::size_t l = 0; l < s.n_layers; ++l) {
            const auto start = clock::now();
            cache->append(l, row(t.keys(l), i), row(t.values(l), i));
            const auto appended = clock::now();
            for (std::size_t h = 0; h < s.n_heads; ++h) {
                if (h % group == 0) {
                    read_positions(cache->tokens(), l, h / group, visible);
                    seen(i, l, h / group, visible);
                }
                const auto p = full.probabilities(l, h, i);
                for (const std::uint32_t position : visible)
                    sum.mass += static_cast<double>(p[position]);
                sum.oracle += static_cast<double>(full.best(l, h, i)[visible.size() - 1]);
            }
            const auto measured = clock::now();
            cache->attend(l, row(t.queries(l), i), {out.data(), 1, out.size()}, run);
            spent += clock::now() - measured + (appended - start);
            sum.output_error += squared_error(out, full.output(l, i));
        }
    const auto n_outputs = static_cast<double>(n * s.n_layers);
    sum.mass /= n_outputs * static_cast<double>(s.n_heads);
    sum.oracle /= n_outputs * static_cast<double>(s.n_heads);
    sum.output_error = std::sqrt(sum.output_error / n_outputs);
    sum.peak_bytes = cache->peak_bytes();
    sum.full_bytes = llm::full_bytes(s, o.recipe, n);
    sum.seconds = std::chrono::duration<double>(spent).count();
    return sum;
}

}  // namespace kvlab
