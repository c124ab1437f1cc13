// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0

// The engine keeps its own cache and attention: a tracker watches the probabilities and says which
// rows to copy where.
#include <pare/kv/h2o.hpp>
#include <pare/kv/tracker.hpp>

#include <cstddef>
#include <cstdio>
#include <vector>

namespace kv = pare::kv;

namespace {

int report(const pare::error& e) {
    std::fprintf(stderr, "own_cache: %s\n", e.message);
    return 1;
}

// Stands for the engine's cache of one layer and head: a row is a token.
struct engine_cache {
    std::vector<int> rows;
    void copy_row(std::size_t from, std::size_t to) { rows[to] = rows[from]; }
};

// Stands for the engine's attention: token 7 is what everybody looks at, then the newest.
std::vector<float> probabilities(const std::vector<int>& rows) {
    std::vector<float> p(rows.size());
    for (std::size_t t = 0; t < rows.size(); ++t)
        p[t] = rows[t] == 7 ? 0.5f : t + 1 == rows.size() ? 0.3f : 0.2f / 64.0f;
    return p;
}

}  // namespace

int main() {
    using policy_t = kv::policy<kv::h2o>;
    constexpr kv::shape shape{.layers = 1, .query_heads = 2, .kv_heads = 2, .head_dim = 64};
    auto tracker = kv::tracker<policy_t>::make(
        shape, {.budget = {.tokens_per_head = 16}, .recent_share = 0.5f}, 64);
    if (!tracker) return report(tracker.error());

    std::vector<engine_cache> heads(shape.kv_heads);
    for (int t = 0; t < 500; ++t) {
        for (engine_cache& head : heads) head.rows.push_back(t);
        if (auto done = tracker->append(0, 1); !done) return report(done.error());
        for (std::size_t h = 0; h < heads.size(); ++h) {
            const std::vector<float> p = probabilities(heads[h].rows);
            if (auto done = tracker->observe(0, h, {p.data(), 1, p.size()}); !done)
                return report(done.error());
        }
        if (auto done = tracker->plan(0); !done) return report(done.error());
        for (std::size_t h = 0; h < heads.size(); ++h) {
            for (const kv::move m : tracker->moves(h)) heads[h].copy_row(m.from, m.to);
            heads[h].rows.resize(tracker->size(0, h));
        }
    }
    bool has_7 = false, agrees = true;
    for (std::size_t i = 0; i < heads[0].rows.size(); ++i) {
        has_7 = has_7 || heads[0].rows[i] == 7;
        agrees = agrees && heads[0].rows[i] == static_cast<int>(tracker->positions(0, 0)[i]);
    }
    std::printf("%zu of 500 tokens kept, the one that counts %s\n", heads[0].rows.size(),
                has_7 ? "among them" : "lost");
    return has_7 && agrees ? 0 : 1;
}
