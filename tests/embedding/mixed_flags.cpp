// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
// Compiled once per instruction set, with MIXED_FLAGS_NAME its entry point: a program that
// dispatches at run time links all of them. It uses the library widely, so that the objects hold
// its functions.
#include <pare/io/safetensors.hpp>
#include <pare/kv/tracker.hpp>
#include <pare/pare.hpp>

#include <array>
#include <cstddef>
#include <type_traits>

namespace {

constexpr std::size_t rows = 40, cols = 24, tokens = 5;
using weight_array = std::array<float, rows * cols>;
using token_array = std::array<float, tokens * cols>;

/// A layer's way through the library: calibrated, pruned, packed, stored in the file, read from it,
/// checked, multiplied by two threads, unpacked. @return the sum of what came out, -1 for a refusal
template <class Pattern, class Codec>
float run_layer(const char* path, const weight_array& weights, const token_array& x) {
    const pare::matrix_view<const float> inputs(x.data(), tokens, cols);
    auto observer = pare::prune::input_observer::make(cols, true);
    std::array<float, cols> norms{};
    if (!observer || !observer->add(inputs)) return -1.0f;
    const pare::prune::input_sums sums = observer->sums();
    if (!observer->merge(sums) || !pare::prune::input_norms(sums.squares, norms)) return -1.0f;
    const auto layer = pare::compress({weights.data(), rows, cols},
                                      pare::recipe{pare::prune::wanda{}, Pattern{}, Codec{}},
                                      {.input_norms = norms});
    if (!layer) return -1.0f;

    pare::io::safetensors_writer out(path);
    out.add("w", *layer);
    out.add("x", sums);
    if (!out.commit()) return -1.0f;
    const auto file = pare::io::safetensors_reader::open(path);
    if (!file) return -1.0f;
    const auto loaded = pare::io::load<std::remove_cvref_t<decltype(*layer)>>(*file, "w");

    std::array<float, tokens * rows> y{};
    weight_array dense{};
    pare::thread_pool pool(2);
    if (!loaded || !pare::io::load_input_sums(*file, "x") || !pare::packed::check(*loaded) ||
        !pare::gemm(*loaded, inputs, {y.data(), tokens, rows}, pool) ||
        !pare::packed::unpack(*loaded, {dense.data(), rows, cols}))
        return -1.0f;
    float sum = 0.0f;
    for (const float v : y) sum += v;
    for (const float v : dense) sum += v;
    return sum;
}

/// Layers stored as codes. @return whether each gives about what the same as floats does
bool run_codes(const char* path, const weight_array& weights, const token_array& x) {
    namespace prune = pare::prune;
    namespace quant = pare::quant;
    const auto is_near = [&]<class Pattern, class Codec>(Pattern, Codec) {
        const float exact = run_layer<Pattern, quant::cast<float>>(path, weights, x);
        const float coded = run_layer<Pattern, Codec>(path, weights, x);
        return 0.95f * exact < coded && coded < 1.05f * exact;
    };
    return is_near(prune::n_m<2, 4>{}, quant::int8<>{}) &&
           is_near(prune::dense{}, quant::uint4<quant::per_group<32>, quant::mse>{}) &&
           is_near(prune::hinm<2, 4, 8>{}, quant::nf4<quant::per_group<64>, quant::percentile>{}) &&
           is_near(prune::unaligned_block<8>{}, quant::e4m3<quant::per_tensor>{});
}

/// A decoder with a cache, a fork, a plan for a cache of its own. @return tokens kept, -1 for a
/// refusal
template <class Scorer, class Budget>
float run_cache(pare::kv::element type) {
    namespace kv = pare::kv;
    constexpr std::size_t dim = 16, heads = 2;
    using policy_t = kv::policy<Scorer, Budget>;
    const kv::shape shape{1, 2 * heads, heads, dim, 2};
    const kv::block_layout layout{type, type, dim};
    policy_t policy{.sinks = 2, .recent_share = 0.25f};
    if constexpr (requires { policy.budget.per_head; }) policy.budget.per_head.tokens_per_head = 40;
    else policy.budget.tokens_per_head = 40;
    alignas(64) static std::array<std::byte, 1 << 16> memory;
    auto pool = kv::pool::make(memory, kv::pool::page_bytes_for(kv::store::stored_bytes(layout)));
    if (!pool) return -1.0f;
    auto cache = kv::cache<policy_t>::make(shape, layout, policy, 1, *pool);
    if (!cache) return -1.0f;
    std::array<float, heads * dim> kv_row;
    std::array<float, 2 * heads * dim> q, out;
    pare::random random(1);
    for (int t = 0; t < 60; ++t) {
        for (float& x : kv_row) x = random.symmetric();
        for (float& x : q) x = random.symmetric();
        if (!cache->append(0, {kv_row.data(), 1, kv_row.size()},
                           {kv_row.data(), 1, kv_row.size()}) ||
            !cache->attend(0, {q.data(), 1, q.size()}, {out.data(), 1, out.size()}))
            return -1.0f;
        if (t == 50 && (!cache->fork(0, 1) || !cache->truncate(49) || !cache->fork(1, 0)))
            return -1.0f;
    }
    const std::array<double, dim / 4> frequencies{1.0, 0.1, 0.01, 0.001};
    const auto next = cache->renumber({frequencies});
    if (!next ||
        !cache->append(0, {kv_row.data(), 1, kv_row.size()}, {kv_row.data(), 1, kv_row.size()}) ||
        !cache->fork(0, 1) ||
        !cache->attend(0, {q.data(), 1, q.size()}, {out.data(), 1, out.size()}))
        return -1.0f;
    const auto off = pare::attention_error(cache->tokens(), 1, 0, {q.data(), 1, q.size()},
                                           {out.data(), 1, out.size()}, *next);
    if (!off || !(*off < 1e-3f)) return -1.0f;
    float kept = 0.0f;
    for (std::size_t h = 0; h < heads; ++h)
        kept += static_cast<float>(cache->tokens().view(0, 0, h).size);
    if constexpr (!kv::vector_scorer<Scorer>) {
        auto tracker = kv::tracker<policy_t>::make(shape, policy, 64);
        if (!tracker || !tracker->append(0, 41)) return -1.0f;
        std::array<float, 82> probabilities{};
        if (!tracker->observe(0, 0, {probabilities.data(), 2, 41}) || !tracker->plan(0))
            return -1.0f;
        kept += static_cast<float>(tracker->size(0, 0));
    }
    return kept;
}

/// Orders of rows and columns, which differ where sums are rounded otherwise. @return whether found
bool run_search(const weight_array& weights) {
    weight_array scores = weights;
    for (float& x : scores) x = x < 0.0f ? -x : x;
    const pare::matrix_view<const float> view(scores.data(), rows, cols);
    pare::thread_pool pool(2);
    const auto tiles = pare::prune::gyro{.rounds = 3}.search(
        view, pare::prune::hinm<2, 4, 8>{.vector_sparsity = 0.5f}, pool);
    const auto columns =
        pare::prune::column_order{.rounds = 1}.search({&view, 1}, pare::prune::n_m<1, 3>{}, pool);
    const auto regions = pare::prune::flex_hinm<2, 4, 8>{}.make_order(view);
    const auto blocks = pare::prune::v_n_m<8, 2, 8>{}.make_order(view);
    if (!tiles || !columns || !regions || !blocks) return false;
    const pare::prune::activation channels[2]{{}, {.block = pare::prune::activation::all}};
    const pare::prune::planned_layer layers[1]{{&tiles->order, 0, 1}};
    return bool{pare::prune::permutation_plan::make(channels, layers)};
}

/// A model without half of its multiply-adds. @return the sum of what its second layer keeps, -1
/// for a refusal
float run_cut(const weight_array& weights) {
    using op = pare::prune::channel_operation;
    const op operations[]{op::input(3),          op::layer(0, cols),
                          op::layer(1, rows),    op::padding(1, rows, 7),
                          op::elementwise(2, 3), op::depthwise(4, rows, 9),
                          op::output(0)};
    const auto graph = pare::prune::channel_graph::make(operations);
    std::array<float, rows + cols + 3> scores{};
    std::array<std::uint8_t, rows + cols + 3> flags;
    if (!graph || graph->n_classes() > scores.size()) return -1.0f;
    const std::size_t n = graph->n_classes();
    const std::span<std::uint8_t> kept(flags.data(), n);
    const std::array<std::span<const float>, 7> of_rows{{{}, {}, {weights.data(), rows}}};
    const std::array<std::uint32_t, 2> pools{};
    if (!pare::prune::channel_scores{}.combine(*graph, of_rows, {scores.data(), n}) ||
        !pare::prune::channel_selection{.share = 0.5}.select(
            *graph, {scores.data(), n}, {pools.data(), graph->n_groups()}, kept))
        return -1.0f;
    const auto cut = pare::prune::channel_cut::make(*graph, kept);
    if (!cut) return -1.0f;
    weight_array left{};
    std::array<float, rows> bias{};
    const pare::matrix_view<const float> whole(weights.data(), rows, cols);
    const std::size_t n_left = cut->kept(2).size();
    if (!cut->gather_weights(2, whole, {left.data(), n_left, cut->cols(2)}) ||
        !cut->absorb(2, whole, {weights.data(), cols}, {bias.data(), n_left}))
        return -1.0f;
    float sum = 0.0f;
    for (const float v : left) sum += v;
    return sum + bias[0];
}

/// A convolution, then a depthwise one. @return the sum of what came out, -1 for a refusal
float run_convolutions(const weight_array& weights) {
    constexpr std::array<std::size_t, 4> in{2, 3, 8, 7}, out{2, 16, 4, 4};
    const pare::window halving{{3, 3}, {2, 2}, pare::padding::same({8, 7}, {3, 3}, {2, 2})};
    const pare::packed::dense<float> dense{16, 27, weights.data()};  // as if packed
    std::array<float, 2 * 3 * 8 * 7> x;
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 5);
    std::array<float, 2 * 16 * 4 * 4> y, z;
    std::array<float, 27 * 32> workspace;
    const pare::maps<float> between(y.data(), out);
    pare::thread_pool pool(2);
    if (!pare::convolve(dense, halving, pare::maps<const float>(x.data(), in), between, workspace,
                        pool, {.then = pare::activation::relu6}) ||
        !pare::convolve_depthwise({weights.data(), 16, 9},
                                  {.kernel = {3, 3}, .around = {1, 1, 1, 1}}, between,
                                  pare::maps<float>(z.data(), out), pool))
        return -1.0f;
    float sum = 0.0f;
    for (const float v : z) sum += v;
    return sum;
}

/// Attention on the low half of a block in two resolutions. @return whether nothing was refused
bool run_block(const weight_array& weights) {
    using dense = pare::packed::dense<float>;  // as if packed
    const pare::octave::self_attention<dense> stage{.heads = 2,
                                                    .query_key_value = {24, 8, weights.data()},
                                                    .projection = {8, 8, weights.data()}};
    const dense half{8, 16, weights.data()}, whole{16, 8, weights.data()};
    const pare::octave::cross_frequency_partial<dense, pare::octave::self_attention<dense>> block{
        {.high_to_high = half, .high_to_low = half},
        {&stage, 1},
        {.high_to_high = whole, .low_to_high = {16, 16, weights.data()}}};
    constexpr std::array<std::size_t, 4> shape{1, 16, 5, 7};
    std::array<float, 16 * 5 * 7> x{}, y;
    std::array<float, 4096> workspace;
    pare::thread_pool pool(2);
    return bool{block.forward(pare::maps<const float>(x.data(), shape),
                              pare::maps<float>(y.data(), shape), workspace, pool)};
}

}  // namespace

float MIXED_FLAGS_NAME(const char* path);

float MIXED_FLAGS_NAME(const char* path) {
    weight_array weights;
    token_array x;
    // Small integers: every order of summation and every storage type gives the same sum.
    pare::random random(1);
    for (float& w : weights) w = static_cast<float>(random.below(17));
    for (float& v : x) v = static_cast<float>(random.below(9));
    if (!run_search(weights) || !run_codes(path, weights, x) || !run_block(weights)) return -1.0f;
    using pare::quant::cast;
    float sum = 0.0f;
    for (const float part :
         {run_layer<pare::prune::n_m<2, 4>, cast<float>>(path, weights, x),
          run_layer<pare::prune::n_m<2, 4>, cast<pare::f16>>(path, weights, x),
          run_layer<pare::prune::n_m<1, 8>, cast<pare::bf16>>(path, weights, x),
          run_layer<pare::prune::unstructured, cast<pare::f16>>(path, weights, x),
          run_layer<pare::prune::dense, cast<float>>(path, weights, x),
          run_layer<pare::prune::hinm<2, 4, 8>, cast<pare::f16>>(path, weights, x),
          run_layer<pare::prune::flex_hinm<1, 4, 24>, cast<float>>(path, weights, x),
          run_layer<pare::prune::block<8, 2>, cast<float>>(path, weights, x),
          run_layer<pare::prune::unaligned_block<8>, cast<float>>(path, weights, x),
          run_layer<pare::prune::unaligned_block<8, pare::prune::greedy>, cast<float>>(path,
                                                                                       weights, x),
          run_layer<pare::prune::unaligned_block<8, pare::prune::optimum>, cast<float>>(path,
                                                                                        weights, x),
          run_convolutions(weights), run_cut(weights),
          run_cache<pare::kv::a2sf, pare::kv::uniform>(pare::kv::element::f16),
          run_cache<pare::kv::h2o, pare::kv::ada<>>(pare::kv::element::i8),
          run_cache<pare::kv::key_norm, pare::kv::pyramid>(pare::kv::element::i4),
          run_cache<pare::kv::tova, pare::kv::uniform>(pare::kv::element::f32)}) {
        if (part < 0.0f) return -1.0f;
        sum += part;
    }
    return sum;
}
