// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "generate.hpp"

#include "common/math.hpp"

#include <algorithm>

namespace llm {

token sampler::pick(std::span<const float> logits) {
    if (temperature <= 0.0f) return static_cast<token>(tools::argmax(logits));
    const float largest = tools::max_of(logits);
    const auto weight = [&](float logit) {
        return static_cast<double>(tools::fast_exp((logit - largest) / temperature));
    };
    double total = 0.0;
    for (const float logit : logits) total += weight(logit);
    double left = static_cast<double>(random.next() >> 11) * 0x1p-53 * total;
    for (std::size_t i = 0; i < logits.size(); ++i)
        if ((left -= weight(logits[i])) < 0.0) return static_cast<token>(i);
    return static_cast<token>(logits.size() - 1);
}

std::vector<token> generate(const model& m, std::span<const token> prompt, std::size_t n,
                            sampler choose, const std::function<bool(token)>& told,
                            const cache_options& o) {
    const std::size_t context = m.shape().context, all = prompt.size() + n;
    session s(m, o.recipe.renumber == 0 ? std::min(context, all) : all, o);
    std::vector<float> logits(m.shape().vocab_size);
    const pare::matrix_view<float> row(logits.data(), 1, logits.size());
    std::vector<token> written;
    m.forward(prompt, s, row);
    while (written.size() < n) {
        written.push_back(choose.pick(logits));
        if (!told(written.back()) || written.size() == n || s.position() == context) break;
        m.forward(std::span(written).last(1), s, row);
    }
    return written;
}

windows write_own_text(const model& m, token first, std::size_t n_windows, std::size_t length,
                       std::uint64_t seed, const std::function<void()>& told) {
    windows text;
    for (std::size_t w = 0; w < n_windows; ++w) {
        text.push_back({first});
        const std::vector<token> rest =
            generate(m, text.back(), length - 1,
                     {.temperature = 1.0f, .random = pare::random(seed + w)}, [&](token) {
                         told();
                         return true;
                     });
        text.back().insert(text.back().end(), rest.begin(), rest.end());
    }
    return text;
}

}  // namespace llm
