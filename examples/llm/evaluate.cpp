// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "evaluate.hpp"

#include "common/error.hpp"
#include "common/math.hpp"
#include "common/timing.hpp"

#include <algorithm>
#include <cstring>
#include <span>
#include <utility>
#include <vector>

namespace llm {

namespace {

using tools::argmax, tools::fast_exp, tools::log_sum_exp, tools::reduce;

/// KL(p || q) of the softmaxes of two rows of logits whose log_sum_exp are known.
double divergence(std::span<const float> p, float p_sum, std::span<const float> q, float q_sum) {
    const float kl = reduce(
        p.size(), 0.0f,
        [&](std::size_t i) {
            const float log_p = p[i] - p_sum;
            return fast_exp(log_p) * (log_p - (q[i] - q_sum));
        },
        [](float a, float b) { return a + b; });
    return std::max(0.0, static_cast<double>(kl));
}

/// visit(row, at, logits of the token after text[row][at]) for all predictions, in order.
/// @return the most bytes that the cache took
std::size_t for_each_prediction(const model& m, const windows& text, const cache_options& o,
                                std::size_t chunk, auto&& visit) {
    const std::size_t vocab = m.shape().vocab_size;
    std::size_t longest = 0;
    for (const auto& ids : text) longest = std::max(longest, ids.size() - 1);
    chunk = std::min(chunk, longest);
    session s(m, longest, o, chunk);
    std::vector<float> own(chunk * vocab);
    for (std::size_t row = 0; row < text.size(); ++row) {
        const std::vector<token>& ids = text[row];
        s.clear();
        while (s.length() + 1 < ids.size()) {
            const std::size_t at = s.length(), n = std::min(chunk, ids.size() - 1 - at);
            const pare::matrix_view<float> logits(own.data(), n, vocab);
            m.forward(std::span(ids).subspan(at, n), s, logits);
            for (std::size_t t = 0; t < n; ++t) visit(row, at + t, logits.row_span(t));
        }
    }
    return s.peak_cache_bytes();
}

}  // namespace

quality evaluate(const model& m, const windows& text, reference_logits& reference,
                 const std::function<void(std::size_t)>& told, const cache_options& o,
                 std::size_t chunk) {
    const std::size_t vocab = m.shape().vocab_size, n_all = n_predictions(text);
    const bool first = reference.size() == 0;
    if (first)
        reference = tools::value_of(reference_logits::make(n_all * vocab), "the dense logits");
    quality sum;
    std::size_t done = 0;
    sum.peak_cache_bytes = for_each_prediction(
        m, text, o, chunk, [&](std::size_t row, std::size_t at, std::span<const float> q) {
            const auto p = reference.span().subspan(done++ * vocab, vocab);
            if (first) std::memcpy(p.data(), q.data(), vocab * sizeof(float));
            const float q_sum = log_sum_exp(q);
            sum.nll += static_cast<double>(q_sum - q[text[row][at + 1]]);
            sum.kl += divergence(p, log_sum_exp(p), q, q_sum);
            sum.agreement += argmax(p) == argmax(q);
            told(1);
        });
    const double n = static_cast<double>(n_all);
    return {sum.nll / n, sum.kl / n, sum.agreement / n, sum.peak_cache_bytes};
}

double recall(const model& m, const questions& asked, const cache_options& o, std::size_t chunk) {
    std::vector<std::vector<bool>> right(asked.documents.size());
    for (std::size_t d = 0; d < right.size(); ++d) right[d].resize(asked.documents[d].size());
    for_each_prediction(m, asked.documents, o, chunk,
                        [&](std::size_t row, std::size_t at, std::span<const float> logits) {
                            right[row][at + 1] = argmax(logits) == asked.documents[row][at + 1];
                        });
    std::size_t n = 0, n_right = 0;
    for (std::size_t d = 0; d < right.size(); ++d)
        for (const auto& [first, end] : asked.answers[d]) {
            bool all = true;
            for (std::size_t t = first; t < end; ++t) all = all && right[d][t];
            ++n;
            n_right += all;
        }
    return static_cast<double>(n_right) / static_cast<double>(n);
}

std::vector<speed> measure_speeds(std::span<const contender> contenders,
                                  std::span<const token> prompt) {
    const config& shape = contenders.front().m->shape();
    const std::span<const token> ids =
        prompt.first(std::min({prompt.size(), std::size_t{256}, (shape.context + 1) / 2}));
    const std::size_t n_decoded = std::min<std::size_t>(16, shape.context - ids.size());
    std::vector<float> logits(shape.vocab_size);
    const pare::matrix_view<float> row(logits.data(), 1, logits.size());

    std::vector<session> sessions;
    sessions.reserve(contenders.size());
    std::vector<std::function<void()>> prefills, decodes;
    for (const auto& [m, cache] : contenders) {
        session& s = sessions.emplace_back(*m, ids.size() + n_decoded, cache);
        prefills.emplace_back([&, m = m] {
            s.clear();
            m->forward(ids, s, row);
        });
        decodes.emplace_back([&, m = m] {
            s.rewind();
            for (std::size_t i = 0; i < n_decoded; ++i)
                m->forward(ids.subspan(i % ids.size(), 1), s, row);
        });
    }
    const std::vector<double> prefill = tools::median_seconds(prefills);
    for (session& s : sessions) s.mark();
    const std::vector<double> decode = tools::median_seconds(decodes);
    std::vector<speed> found;
    for (std::size_t i = 0; i < contenders.size(); ++i)
        found.push_back({.decode = static_cast<double>(n_decoded) / decode[i],
                         .prefill = static_cast<double>(ids.size()) / prefill[i]});
    return found;
}

}  // namespace llm
