// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_LLM_MODEL_HPP
#define PARE_EXAMPLES_LLM_MODEL_HPP

#include "cache.hpp"
#include "checkpoint.hpp"
#include "common/linear.hpp"
#include "common/model_report.hpp"
#include "common/statistics.hpp"
#include "rotary.hpp"

#include <array>
#include <functional>
#include <memory>
#include <span>
#include <vector>

namespace llm {

/// Where a block feeds its linear layers: q, k, v share their input, and so do gate and up.
enum class input : std::uint8_t { attention, output, feed_forward, down };
inline constexpr std::size_t n_inputs = 4;

constexpr input input_of(slot s) {
    return s <= slot::v    ? input::attention
           : s == slot::o  ? input::output
           : s <= slot::up ? input::feed_forward
                           : input::down;
}

/// Statistics of what one block's linear layers read, per input; see calibrate().
struct block_statistics {
    std::array<tools::input_statistics, n_inputs> inputs;
};

class model;

/// The state of one sequence: its cache, its length and the activations of one chunk of tokens.
class session {
  public:
    static constexpr std::size_t max_chunk = 256;

    /// @param capacity  tokens of the sequence at most
    /// @param chunk     tokens that run together at most
    session(const model& m, std::size_t capacity, const cache_options& o = {},
            std::size_t chunk = max_chunk);
    /// The same over a cache of the caller's, made for that capacity and chunk.
    session(const model& m, std::unique_ptr<cache> kept, std::size_t capacity, std::size_t chunk);

    /// Tokens that it has seen.
    std::size_t length() const { return length_; }
    /// Where the next one stands: length(), less the gaps that were closed.
    std::size_t position() const { return position_; }
    void clear();
    /// Remembers the present state; rewind() goes back to it.
    void mark();
    void rewind();
    std::size_t peak_cache_bytes() const { return cache_->peak_bytes(); }

  private:
    friend class model;
    pare::matrix_view<float> scratch(pare::buffer<float>& memory, std::size_t rows) const;

    std::size_t capacity_, chunk_, length_ = 0, position_ = 0;
    std::size_t marked_length_ = 0, marked_position_ = 0;
    std::unique_ptr<cache> cache_;
    pare::buffer<float> x_, normed_, q_, k_, v_, attended_, gate_, up_;  // (chunk, ...)
};

/// A Llama-architecture model whose blocks' linear layers went through a recipe, now or when its
/// file was made. Embedding, norms and output head stay as stored. Activations are f32, but for
/// what take_inputs() says.
class model {
  public:
    /// Called with each input of a block's linear layers, (tokens, in_features).
    using observer = std::function<void(input, pare::matrix_view<const float>)>;

    /// @param statistics  one per block where the recipe's saliency needs them, else empty
    /// @param told        called after each linear layer
    /// @throws tools::failure
    model(
        const checkpoint& source, const tools::recipe& recipe,
        std::span<const block_statistics> statistics, pare::thread_pool& run,
        const std::function<void()>& told = [] {});

    const config& shape() const { return source_->shape(); }
    const checkpoint& source() const { return *source_; }

    /// Runs the tokens that follow the session's, and writes the logits (tokens, vocab) of the last
    /// logits.rows() of them. @pre ids below vocab_size; logits.rows() <= ids.size()
    /// @throws tools::failure when the session is too short
    void forward(std::span<const token> ids, session& s, pare::matrix_view<float> logits) const;

    /// The pieces of forward(), for calibration. x: (tokens, dim), at most a session's chunk of
    /// them.
    void embed(std::span<const token> ids, pare::matrix_view<float> x) const;
    void run_block(std::size_t layer, pare::matrix_view<float> x, session& s,
                   const observer& seen) const;

    /// What the blocks' linear layers take from now on, those that can.
    void take_inputs(tools::activation_kind inputs) { inputs_ = inputs; }
    /// Layers that take whole numbers.
    std::size_t n_integer_layers() const;

    const tools::linear& weights(std::size_t layer, slot s) const;
    /// Shares a linear layer of another model of the same checkpoint, in place of its own.
    void take(const model& other, std::size_t layer, slot s);

    /// Of all compressed layers together; `retained` is their mean, weighted by weights.
    pare::layer_report report() const;
    /// Each of them.
    std::vector<tools::layer_row> layers() const;

  private:
    friend class session;
    struct projection {
        std::shared_ptr<const tools::linear> weights;
        std::vector<float> bias;
    };
    struct block {
        std::array<projection, n_slots> linears;
        std::vector<float> attention_norm, feed_forward_norm;
        std::size_t hidden_dim = 0;
    };

    void apply(const block& b, slot s, pare::matrix_view<const float> x,
               pare::matrix_view<float> y) const;
    void write_logits(pare::matrix_view<const float> x, session& s,
                      pare::matrix_view<float> logits) const;

    const checkpoint* source_;
    pare::thread_pool* run_;
    std::vector<block> blocks_;
    tools::activation_kind inputs_ = tools::activation_kind::f32;
    std::vector<float> final_norm_;
    std::unique_ptr<tools::linear> head_;
    std::unique_ptr<rotary> rotary_;
};

}  // namespace llm

#endif  // PARE_EXAMPLES_LLM_MODEL_HPP
