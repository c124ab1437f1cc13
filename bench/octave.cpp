// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "harness.hpp"

#include <pare/kernel/convolution.hpp>
#include <pare/octave/cross_frequency_partial.hpp>
#include <pare/octave/self_attention.hpp>
#include <pare/octave/separable_bottleneck.hpp>
#include <pare/prune/block.hpp>

#include <array>
#include <cmath>
#include <deque>
#include <optional>

// The backbone of YOLOv8-n, as it is and of frequency-split blocks: a stem, then four stages, each
// a down-sampling convolution and a C2f. Without SPPF, ReLU for SiLU, random weights.

namespace bench {

namespace {

using pare::maps, pare::window;
using extents = std::array<std::size_t, 4>;
using layout = pare::packed::dense<float>;
using bottleneck = pare::octave::separable_bottleneck<layout>;

constexpr window three(std::size_t stride) {
    return {.kernel = {3, 3}, .stride = {stride, stride}, .around = {1, 1, 1, 1}};
}

void require(const pare::status& done) {
    value_or_exit(done ? pare::result<int>(0) : done.error());
}

/// Images of one batch, with their memory.
struct activations {
    explicit activations(const extents& e)
        : memory(make_buffer<float>(e[0] * e[1] * e[2] * e[3])), view(memory.data(), e) {
        pare::random random(1);
        for (float& x : memory.span()) x = random.symmetric();
    }
    pare::buffer<float> memory;
    maps<float> view;
};

/// Random weights with a bias, kept, and what they cost.
class parameters {
  public:
    parameters() = default;
    parameters(const parameters&) = delete;

    /// (rows, cols), used at that many pixels.
    pare::matrix_view<const float> dense(std::size_t rows, std::size_t cols, std::size_t pixels) {
        const float bound = std::sqrt(6.0f / static_cast<float>(cols));
        multiply_adds += rows * cols * pixels;
        return {draw(rows * cols, bound).data(), rows, cols};
    }
    layout packed(std::size_t rows, std::size_t cols, std::size_t pixels) {
        return layers_
            .emplace_back(
                value_or_exit(pare::compress(dense(rows, cols, pixels), pare::prune::dense{})))
            .view();
    }
    pare::epilogue relu(std::size_t rows) {
        return {.bias = draw(rows, 0.1f), .then = pare::activation::relu};
    }

    std::size_t count = 0, multiply_adds = 0;

  private:
    std::span<float> draw(std::size_t n, float bound) {
        auto& made = memory_.emplace_back(make_buffer<float>(n));
        for (float& x : made.span()) x = bound * random_.symmetric();
        count += n;
        return made.span();
    }

    pare::random random_{1};
    std::deque<pare::buffer<float>> memory_;
    std::deque<pare::layer<layout>> layers_;
};

/// A dense convolution in the faster of two forms: patches times panels, or maps shifted under
/// blocks of eight rows, none of them pruned.
class dense_convolution {
  public:
    dense_convolution(parameters& p, const window& w, const extents& x, std::size_t channels)
        : over_(w), out_(pare::octave::detail::outputs(w, x, channels)), in_(x),
          weights_(p.dense(channels, x[1] * w.kernel.height * w.kernel.width, out_[2] * out_[3])),
          after_(p.relu(channels)),
          panels_(value_or_exit(pare::compress(weights_, pare::prune::dense{}))),
          blocks_(value_or_exit(pare::compress(weights_, pare::prune::block<8>{.sparsity = 0}))) {
        const activations from(x), to(out_);
        auto memory = make_buffer<float>(workspace_floats());
        const auto time = [&](bool in_blocks) {
            in_blocks_ = in_blocks;
            return quick_time([&] { run(from.view, to.view, memory.span()); });
        };
        in_blocks_ = time(true) < time(false);
    }

    const extents& outputs() const { return out_; }
    std::size_t workspace_floats() const { return pare::workspace_floats(over_, in_); }
    void run(const maps<const float>& x, const maps<float>& y, std::span<float> memory) const {
        const auto by = [&](const auto& w) {
            require(pare::convolve(w, over_, x, y, memory, pare::serial{}, after_));
        };
        if (in_blocks_) by(blocks_);
        else by(panels_);
    }

  private:
    window over_;
    extents out_, in_;
    pare::matrix_view<const float> weights_;
    pare::epilogue after_;
    pare::layer<layout> panels_;
    pare::layer<pare::packed::block<8, float>> blocks_;
    bool in_blocks_ = false;
};

/// 1 x 1, n bottlenecks of the second half of the channels, concatenation, 1 x 1.
class c2f {
  public:
    c2f(parameters& p, const extents& x, std::size_t n)
        : all_({x[0], x[1] / 2 * (2 + n), x[2], x[3]}), half_({x[0], x[1] / 2, x[2], x[3]}),
          split_(p, {}, x, x[1]), merge_(p, {}, all_.view.extents(), x[1]) {
        for (std::size_t i = 0; i < 2 * n; ++i)
            heavy_.emplace_back(p, three(1), half_.view.extents(), x[1] / 2);
    }
    std::size_t workspace_floats() const { return heavy_[0].workspace_floats(); }
    void run(const maps<const float>& x, const maps<float>& y, std::span<float> memory) const {
        using pare::kernel::detail::part;
        const std::size_t half = x.extent(1) / 2;
        split_.run(x, part(all_.view, 1, 0, 2 * half), memory);
        for (std::size_t i = 0; i < heavy_.size(); i += 2) {
            const auto from = part(all_.view, 1, (1 + i / 2) * half, half),
                       to = part(all_.view, 1, (2 + i / 2) * half, half);
            heavy_[i].run(from, half_.view, memory);
            heavy_[i + 1].run(half_.view, to, memory);
            pare::octave::add<1>(from, to, pare::activation::none);
        }
        merge_.run(all_.view, y, memory);
    }

  private:
    activations all_, half_;
    dense_convolution split_, merge_;
    std::deque<dense_convolution> heavy_;
};

/// The same with half of the channels at half the resolution, and bottlenecks of these only.
class split_block {
  public:
    split_block(parameters& p, const extents& x, std::size_t n) {
        const std::size_t c = x[1], half = c / 2, pixels = x[2] * x[3];
        const auto low = pare::octave::halved({x[2], x[3]});
        const std::size_t low_pixels = low.height * low.width;
        const auto separable = [&] {
            return pare::octave::separable_convolution<layout>{
                three(1), p.dense(half, 9, low_pixels), p.relu(half),
                p.packed(half, half, low_pixels), p.relu(half)};
        };
        for (std::size_t i = 0; i < n; ++i) heavy_.push_back({separable(), separable()});
        block_.split = {.high_to_high = p.packed(half, c, pixels),
                        .high_to_low = p.packed(half, c, low_pixels),
                        .after_high = p.relu(half),
                        .after_low = p.relu(half)};
        block_.heavy = heavy_;
        block_.merge = {.high_to_high = p.packed(c, half, pixels),
                        .low_to_high = p.packed(c, half * (1 + n), low_pixels),
                        .after_high = p.relu(c)};
        workspace_floats_ = block_.workspace_floats(x);
    }
    std::size_t workspace_floats() const { return workspace_floats_; }
    void run(const maps<const float>& x, const maps<float>& y, std::span<float> memory) const {
        require(block_.forward(x, y, memory));
    }

  private:
    std::vector<bottleneck> heavy_;
    pare::octave::cross_frequency_partial<layout, bottleneck> block_;
    std::size_t workspace_floats_ = 0;
};

/// Depthwise with stride 2, then 1 x 1 to another width.
class separable_down {
  public:
    separable_down(parameters& p, const window& w, const extents& x, std::size_t channels)
        : out_(pare::octave::detail::outputs(w, x, channels)) {
        const std::size_t pixels = out_[2] * out_[3];
        block_ = {w, p.dense(x[1], 9, pixels), p.relu(x[1]), p.packed(channels, x[1], pixels),
                  p.relu(channels)};
        workspace_floats_ = block_.workspace_floats(x);
    }
    const extents& outputs() const { return out_; }
    std::size_t workspace_floats() const { return workspace_floats_; }
    void run(const maps<const float>& x, const maps<float>& y, std::span<float> memory) const {
        require(block_.forward(x, y, memory));
    }

  private:
    extents out_;
    pare::octave::separable_convolution<layout> block_;
    std::size_t workspace_floats_ = 0;
};

/// A stage of the network, or its stem, which has no block.
template <class Down, class Block>
class stage {
  public:
    stage(parameters& p, const extents& x, std::size_t channels, std::size_t n)
        : down_(p, three(2), x, channels), between_(down_.outputs()) {
        if (n > 0) block_.emplace(p, down_.outputs(), n);
        memory_ = make_buffer<float>(std::max(
            down_.workspace_floats(), block_ ? block_->workspace_floats() : std::size_t{0}));
    }
    const extents& outputs() const { return down_.outputs(); }
    void run(const maps<const float>& x, const maps<float>& y) {
        if (!block_) return down_.run(x, y, memory_.span());
        down_.run(x, between_.view, memory_.span());
        block_->run(between_.view, y, memory_.span());
    }

  private:
    Down down_;
    activations between_;
    std::optional<Block> block_;
    pare::buffer<float> memory_;
};

struct stage_shape {
    std::size_t stride, channels, bottlenecks;
};
constexpr std::array<stage_shape, 4> stages{{{4, 32, 1}, {8, 64, 2}, {16, 128, 2}, {32, 256, 1}}};

void set_counters(benchmark::State& state, const parameters& p) {
    state.counters["flops"] = state.counters["executed_flops"] =
        2.0 * static_cast<double>(p.multiply_adds);
    state.counters["parameters"] = static_cast<double>(p.count);
}

template <class Down, class Block>
void add_backbone(const std::string& kind, std::size_t size) {
    const auto name = [&](const std::string& part) {
        const std::string side = std::to_string(size);
        return "backbone/" + kind + '/' + part + "/f32/" + side + 'x' + side + "/1/1";
    };
    const auto halves = [](std::size_t n) { return (n + 1) / 2; };
    const extents image{1, 3, size, size}, stem{1, 16, halves(size), halves(size)};
    extents x = stem;
    for (const auto [stride, channels, n] : stages) {
        add_benchmark(name("stride" + std::to_string(stride)), 1,
                      [=, channels = channels, n = n](benchmark::State& state) {
                          parameters p;
                          stage<Down, Block> s(p, x, channels, n);
                          const activations from(x), to(s.outputs());
                          for (auto _ : state) s.run(from.view, to.view);
                          set_counters(state, p);
                      });
        x = {1, channels, halves(x[2]), halves(x[3])};
    }
    add_benchmark(name("all"), 1, [=](benchmark::State& state) {
        parameters p;
        stage<dense_convolution, Block> first(p, image, stem[1], 0);
        std::deque<stage<Down, Block>> rest;
        std::deque<activations> between;
        const activations from(image);
        between.emplace_back(stem);
        for (const auto [stride, channels, n] : stages) {
            rest.emplace_back(p, between.back().view.extents(), channels, n);
            between.emplace_back(rest.back().outputs());
        }
        for (auto _ : state) {
            first.run(from.view, between[0].view);
            for (std::size_t i = 0; i < rest.size(); ++i)
                rest[i].run(between[i].view, between[i + 1].view);
        }
        set_counters(state, p);
    });
}

/// Self-attention of the pixels of a map, four heads of 128 channels.
void add_attention(std::size_t size) {
    const std::string side = std::to_string(size);
    add_benchmark("self_attention/c128:h4/f32/" + side + 'x' + side + "/1/1", 1,
                  [=](benchmark::State& state) {
                      constexpr std::size_t c = 128;
                      const std::size_t n = size * size;
                      parameters p;
                      const pare::octave::self_attention<layout> block{
                          .heads = 4,
                          .query_key_value = p.packed(3 * c, c, n),
                          .projection = p.packed(c, c, n)};
                      p.multiply_adds += 2 * n * n * c;
                      const activations from({1, c, size, size}), to({1, c, size, size});
                      auto memory = make_buffer<float>(block.workspace_floats(from.view.extents()));
                      for (auto _ : state)
                          require(block.forward(from.view, to.view, memory.span()));
                      set_counters(state, p);
                  });
}

}  // namespace

void register_backbones() {
    for (const std::size_t size : {17u, 34u, 68u}) add_attention(size);
    for (const std::size_t size : {640u, 1080u}) {
        add_backbone<dense_convolution, c2f>("c2f", size);
        add_backbone<separable_down, split_block>("split", size);
    }
}

}  // namespace bench
