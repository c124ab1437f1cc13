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

double seconds_of(const std::function<void()>& run) {
    using clock = std::chrono::steady_clock;
    const auto before = clock::now();
    run();
    return std::chrono::duration<double>(clock::now() - before).count();
}

/// Median seconds of each run, taken by turns: 5 rounds at least, and 0.25 seconds per run.
std::vector<double> median_seconds(std::span<const std::function<void()>> runs) {
    std::vector<std::vector<double>> seconds(runs.size());
    for (const auto& run : runs) run();
    const double wanted = 0.25 * static_cast<double>(runs.size());
    for (double total = 0.0; seconds[0].size() < 5 || total < wanted;)
        for (std::size_t i = 0; i < runs.size(); ++i) {
            seconds[i].push_back(seconds_of(runs[i]));
            total += seconds[i].back();
        }
    std::vector<double> medians;
    for (auto& of_run : seconds) {
        const auto middle = of_run.begin() + std::ssize(of_run) / 2;
        std::nth_element(of_run.begin(), middle, of_run.end());
        medians.push_back(*middle);
    }
    return medians;
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

std::vector<speed> measure_speeds(std::span<const model* const> models,
                                  std::span<const token> prompt) {
    const config& shape = models.front()->shape();
    const std::span<const token> ids =
        prompt.first(std::min({prompt.size(), std::size_t{256}, (shape.context + 1) / 2}));
    const std::size_t n_decoded = std::min<std::size_t>(16, shape.context - ids.size());
    std::vector<float> logits(shape.vocab_size);
    const pare::matrix_view<float> row(logits.data(), 1, logits.size());

    std::vector<session> sessions;
    sessions.reserve(models.size());
    std::vector<std::function<void()>> prefills, decodes;
    for (const model* m : models) {
        session& s = sessions.emplace_back(*m, ids.size() + n_decoded);
        prefills.emplace_back([&, m] {
            s.length = 0;
            m->forward(ids, s, row);
        });
        decodes.emplace_back([&, m] {
            s.length = ids.size();
            for (std::size_t i = 0; i < n_decoded; ++i)
                m->forward(ids.subspan(i % ids.size(), 1), s, row);
        });
    }
    const std::vector<double> prefill = median_seconds(prefills), decode = median_seconds(decodes);
    std::vector<speed> found;
    for (std::size_t i = 0; i < models.size(); ++i)
        found.push_back({.decode = static_cast<double>(n_decoded) / decode[i],
                         .prefill = static_cast<double>(ids.size()) / prefill[i]});
    return found;
}

}  // namespace llm
