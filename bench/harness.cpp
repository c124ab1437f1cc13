// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "harness.hpp"

#include <cmath>
#include <limits>
#include <optional>

namespace bench {

namespace {

std::vector<entry>& entries() {
    static std::vector<entry> all;
    return all;
}

bytes& arena_memory() {
    static bytes memory;
    return memory;
}

/// Whose copies lie in the arena.
const void*& arena_owner() {
    static const void* owner = nullptr;
    return owner;
}

/// Gives out a kernel's weights: the same ones, or the next of many copies in the arena.
class rotation {
  public:
    rotation(const kernel& k, bool cold) : at_(k.weights.data()) {
        if (!cold || k.weights.size() == 0) return;
        const std::size_t page = 4096;
        stride_ = (k.weights.size() + page - 1) / page * page;
        n_copies_ = arena().size() / stride_;
        first_ = at_ = arena().data();
        if (arena_owner() == k.weights.data()) return;
        for (std::size_t i = 0; i < n_copies_; ++i)
            std::memcpy(arena().data() + i * stride_, k.weights.data(), k.weights.size());
        arena_owner() = k.weights.data();
    }
    const std::byte* next() {
        const std::byte* now = at_;
        if (n_copies_ != 0) {
            if (++copy_ == n_copies_) copy_ = 0;
            at_ = first_ + copy_ * stride_;
        }
        return now;
    }

  private:
    const std::byte* at_ = nullptr;
    const std::byte* first_ = nullptr;
    std::size_t stride_ = 0, n_copies_ = 0, copy_ = 0;
};

/// Whether the answer is the scalar twin's, up to the rounding of sums in another order. Weights
/// and activations lie in [-1, 1), so a partial sum stays near sqrt(cols) and its rounding errors,
/// half an ulp each, near cols * epsilon together; one lost product would be thousands of times
/// more.
bool is_right(problem& p, const kernel& k) {
    const float tolerance =
        4.0f * std::numeric_limits<float>::epsilon() * static_cast<float>(p.size.cols);
    for (std::size_t i = 0; i < p.checked.size(); ++i)
        for (std::size_t r = 0; r < p.size.rows; ++r)
            if (!(std::abs(k.y(p.checked[i], r) - k.expected[i * p.size.rows + r]) <= tolerance))
                return false;
    return true;
}

/// The fastest right form of an entry.
struct contender {
    std::optional<kernel> best;
    std::string error;
};

contender choose(const entry& e, problem& p) {
    contender chosen{std::nullopt, "no form of it runs here"};
    double best = std::numeric_limits<double>::infinity();
    std::vector<kernel> forms = e.make(p);
    for (kernel& form : forms) {
        std::fill_n(p.y.data(), p.y.size(), std::numeric_limits<float>::quiet_NaN());
        form.run(form.weights.data());
        if (!is_right(p, form)) return {std::nullopt, "WRONG RESULT " + form.label};
        if (forms.size() == 1) return {std::move(form), {}};
        rotation weights(form, p.size.cold());
        const double seconds = quick_time([&] { form.run(weights.next()); });
        if (seconds < best) {
            best = seconds;
            chosen = {std::move(form), {}};
        }
    }
    return chosen;
}

/// One group at a time is kept in memory.
struct group {
    explicit group(const shape& s) : inputs(s) {}
    problem inputs;
    std::map<const entry*, contender> contenders;
};

group& current_group(const shape& s) {
    static std::unique_ptr<group> current;
    if (!current || !(current->inputs.size == s)) {
        current.reset();
        arena_owner() = nullptr;
        current = std::make_unique<group>(s);
    }
    return *current;
}

void run(benchmark::State& state, const entry& e, const shape& s) {
    group& g = current_group(s);
    e.set_threads(s.threads);
    auto [found, is_new] = g.contenders.try_emplace(&e);
    if (is_new) found->second = choose(e, g.inputs);
    const contender& c = found->second;
    if (!c.best) return state.SkipWithError(c.error.c_str());

    rotation weights(*c.best, s.cold());
    for (auto _ : state) {
        c.best->run(weights.next());
        benchmark::ClobberMemory();
    }
    const double tokens = static_cast<double>(s.batch);
    state.counters["bytes"] = static_cast<double>(c.best->weight_bytes);
    state.counters["flops"] = 2.0 * static_cast<double>(s.rows * s.cols) * tokens;
    state.counters[c.best->in_integers ? "executed_dots" : "executed_flops"] =
        2.0 * static_cast<double>(c.best->n_weights) * tokens;
    state.SetLabel(c.best->label);
}

struct layer_shape {
    std::size_t rows, cols;
    std::vector<std::size_t> batches;
    bool feature_major = false;
};

}  // namespace

problem::problem(const shape& s)
    : size(s), weights(make_buffer<float>(s.rows * s.cols)),
      x_tokens(make_buffer<float>(s.batch * s.cols)),
      x_features(make_buffer<float>(s.batch * s.cols)), y(make_buffer<float>(s.batch * s.rows)) {
    pare::random draw(1);
    for (float& w : weights.span()) w = draw.symmetric();
    for (std::size_t t = 0; t < s.batch; ++t)
        for (std::size_t c = 0; c < s.cols; ++c)
            x_features[c * s.batch + t] = x_tokens[t * s.cols + c] =
                static_cast<float>(static_cast<int>(draw.below(256)) - 128) / 128.0f;
    // All tokens where that is quick, else a few.
    if (s.rows * s.cols * s.batch <= std::size_t{1} << 27)
        for (std::size_t t = 0; t < s.batch; ++t) checked.push_back(t);
    else checked = {0, s.batch / 3, s.batch / 2 + 1, s.batch - 1};
}

bool add(entry e) {
    entries().push_back(std::move(e));
    return true;
}

std::span<std::byte> arena() {
    if (arena_memory().size() == 0) arena_memory() = make_buffer<std::byte>(std::size_t{1} << 30);
    return arena_memory().span();
}

void register_products() {
    const std::vector<layer_shape> layers = {
        {4096, 4096, {1, 8, 64, 256}},    {11008, 4096, {1, 8, 64, 256}},
        {768, 768, {1, 8, 64, 128, 256}}, {3072, 768, {1, 8, 64, 128, 256}},
        {288, 288, {1, 8, 64, 256}},      {768, 288, {1, 8, 64, 256}},
        {512, 512, {196}, true},          {1024, 1024, {49}, true},
        {256, 256, {100}, true},          {144, 24, {3136}, true},
        {24, 144, {3136}, true},          {384, 64, {196}, true},
        {96, 576, {196}, true},           {960, 160, {49}, true},
    };
    for (const layer_shape& layer : layers)
        for (const std::size_t batch : layer.batches)
            for (const int threads : {1, 2}) {
                const shape s{layer.rows, layer.cols, batch, layer.feature_major, threads};
                for (const entry& e : entries()) {
                    if (!e.applies(s)) continue;
                    const std::string name = e.kernel + '/' + e.dtype + '/' +
                                             std::to_string(s.rows) + 'x' + std::to_string(s.cols) +
                                             '/' + std::to_string(batch) + '/' +
                                             std::to_string(threads) + (s.cold() ? "/cold" : "");
                    add_benchmark(name, threads,
                                  [&e, s](benchmark::State& state) { run(state, e, s); });
                }
            }
}

}  // namespace bench
