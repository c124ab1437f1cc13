// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "evaluate.hpp"

#include "common/math.hpp"
#include "common/timing.hpp"

#include <algorithm>

namespace vision {

std::vector<float> logits_of(const model& m, const images& on,
                             const std::function<void(std::size_t)>& told) {
    const std::size_t n_classes = m.architecture().n_classes();
    std::vector<float> logits(on.size() * n_classes);
    workspace w = m.make_workspace(std::min(batch, on.size()));
    for (std::size_t i = 0; i < on.size(); i += batch) {
        const std::size_t n = std::min(batch, on.size() - i);
        m.forward(on, i, w, {logits.data() + i * n_classes, n, n_classes});
        told(n);
    }
    return logits;
}

quality evaluate(const model& m, const images& on, const std::function<void(std::size_t)>& told) {
    const std::size_t n_classes = m.architecture().n_classes();
    const std::vector<float> logits = logits_of(m, on, told);
    quality sum;
    for (std::size_t i = 0; i < on.size(); ++i) {
        const auto row = std::span(logits).subspan(i * n_classes, n_classes);
        sum.top1 += tools::argmax(row) == on.labels[i];
        sum.nll += static_cast<double>(tools::log_sum_exp(row) - row[on.labels[i]]);
    }
    const auto n = static_cast<double>(on.size());
    return {sum.top1 / n, sum.nll / n};
}

std::vector<double> seconds_per_image(std::span<const model* const> models, const images& on) {
    const vision::architecture& a = models.front()->architecture();
    const std::size_t n = std::min(batch, on.size());
    workspace w = models.front()->make_workspace(n);
    std::vector<float> logits(n * a.n_classes());
    std::vector<std::function<void()>> runs;
    for (const model* const m : models)
        runs.emplace_back([&, m] { m->forward(on, 0, w, {logits.data(), n, a.n_classes()}); });
    std::vector<double> seconds = tools::median_seconds(runs);
    for (double& s : seconds) s /= static_cast<double>(n);
    return seconds;
}

}  // namespace vision
