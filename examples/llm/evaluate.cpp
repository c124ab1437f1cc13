// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "evaluate.hpp"

#include "common/error.hpp"
#include "math.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <span>
#include <utility>
#include <vector>

namespace llm {

namespace {

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

/// Median seconds of a run, over at least 5 runs and 0.3 seconds.
template <class Run>
double median_seconds(Run run) {
    using clock = std::chrono::steady_clock;
    std::vector<double> seconds;
    run();
    for (const auto start = clock::now();
         seconds.size() < 5 || clock::now() - start < std::chrono::milliseconds(300);) {
        const auto before = clock::now();
        run();
        seconds.push_back(std::chrono::duration<double>(clock::now() - before).count());
    }
    const auto middle = seconds.begin() + static_cast<std::ptrdiff_t>(seconds.size() / 2);
    std::nth_element(seconds.begin(), middle, seconds.end());
    return *middle;
}

}  // namespace

quality evaluate(const model& m, const windows& text, reference_logits& reference,
                 const std::function<void(std::size_t)>& told) {
    const std::size_t vocab = m.shape().vocab_size, n_all = n_predictions(text);
    const bool first = reference.size() == 0;
    if (first)
        reference = tools::value_of(reference_logits::make(n_all * vocab), "the dense logits");
    std::size_t longest = 0;
    for (const auto& ids : text) longest = std::max(longest, ids.size() - 1);
    session s(m, longest);
    std::vector<float> own(std::min(longest, model::max_chunk) * vocab);

    quality sum;
    std::size_t done = 0;
    for (const auto& ids : text) {
        s.length = 0;
        while (s.length + 1 < ids.size()) {
            const std::size_t at = s.length, n = std::min(model::max_chunk, ids.size() - 1 - at);
            const pare::matrix_view<float> logits(own.data(), n, vocab);
            m.forward(std::span(ids).subspan(at, n), s, logits);
            if (first)
                std::memcpy(reference.data() + done * vocab, own.data(), n * vocab * sizeof(float));
            for (std::size_t t = 0; t < n; ++t, ++done) {
                const std::span<const float> q = logits.row_span(t);
                const auto p = std::as_const(reference).span().subspan(done * vocab, vocab);
                const float q_sum = log_sum_exp(q);
                sum.nll += static_cast<double>(q_sum - q[ids[at + t + 1]]);
                sum.kl += divergence(p, log_sum_exp(p), q, q_sum);
                sum.agreement += argmax(p) == argmax(q);
            }
            told(n);
        }
    }
    const double n = static_cast<double>(n_all);
    return {sum.nll / n, sum.kl / n, sum.agreement / n};
}

speed measure_speed(const model& m, std::span<const token> prompt) {
    const std::size_t context = m.shape().context;
    const std::span<const token> ids =
        prompt.first(std::min({prompt.size(), std::size_t{256}, (context + 1) / 2}));
    const std::size_t n_decoded = std::min<std::size_t>(16, context - ids.size());
    session s(m, ids.size() + n_decoded);
    std::vector<float> logits(m.shape().vocab_size);
    const pare::matrix_view<float> row(logits.data(), 1, logits.size());
    speed found;
    found.prefill = static_cast<double>(ids.size()) / median_seconds([&] {
        s.length = 0;
        m.forward(ids, s, row);
    });
    if (n_decoded > 0)
        found.decode = static_cast<double>(n_decoded) / median_seconds([&] {
            s.length = ids.size();
            for (std::size_t i = 0; i < n_decoded; ++i)
                m.forward(ids.subspan(i % ids.size(), 1), s, row);
        });
    return found;
}

}  // namespace llm
