// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KV_SNAPKV_HPP
#define PARE_KV_SNAPKV_HPP

#include "concepts.hpp"
#include "decay.hpp"

#include <cstddef>
#include <span>

namespace pare::kv::inline PARE_ARCH_NAMESPACE {

/// The mean attention of the last `observed` queries, smoothed over `pooling` neighbours. Li et
/// al., "SnapKV", arXiv:2404.14469, which cuts the prompt once and protects those queries' own
/// tokens: policy::recent = observed. Beyond the paper, decoding goes on with the running mean, in
/// which a query of n steps ago weighs (1 - 1/observed)^n, and tokens whose neighbours have left
/// are smoothed over those that lie beside them in the cache.
struct snapkv {
    std::size_t observed = 64;
    std::size_t pooling = 5;  ///< odd; 1 does not smooth

    float carry(std::size_t n) const noexcept { return n >= observed ? 0.0f : decay(kept(), n); }
    float weight(std::size_t i, std::size_t n) const noexcept {
        const float share = 1.0f / static_cast<float>(observed);
        if (n >= observed) return i + observed >= n ? share : 0.0f;
        return share * decay(kept(), n - 1 - i);
    }
    void score(const head_observation& head, std::span<float> scores) const noexcept {
        const std::size_t half = pooling / 2;
        for (std::size_t t = 0; t < scores.size(); ++t) {
            const std::size_t begin = t < half ? 0 : t - half;
            const std::size_t end = t + half + 1 < scores.size() ? t + half + 1 : scores.size();
            float sum = 0.0f, n = 0.0f;
            for (std::size_t i = begin; i < end; ++i) {
                // The observed queries' own tokens are not pooled with those before them.
                if (i != t && head.positions[i] + observed >= head.now) continue;
                sum += head.attention[i];
                n += 1.0f;
            }
            scores[t] = sum / n;
        }
    }

    status check() const noexcept {
        if (observed == 0 || pooling % 2 == 0)
            return error{errc::invalid_argument,
                         "snapkv observes a query or more, pools odd numbers"};
        return {};
    }

  private:
    /// What one step leaves of a query's weight.
    float kept() const noexcept { return 1.0f - 1.0f / static_cast<float>(observed); }
};

static_assert(attention_scorer<snapkv>);

}  // namespace pare::kv::inline PARE_ARCH_NAMESPACE

#endif  // PARE_KV_SNAPKV_HPP
