// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "model.hpp"

#include "common/error.hpp"
#include "common/math.hpp"
#include "common/report.hpp"
#include "common/tensors.hpp"

#include <algorithm>
#include <string>
#include <utility>

namespace llm {

using pare::matrix_view;

session::session(const model& m, std::size_t capacity, const cache_options& o, std::size_t chunk)
    : session(m, make_cache(m.shape(), o, capacity, std::min(capacity, chunk)), capacity, chunk) {}

session::session(const model& m, std::unique_ptr<cache> kept, std::size_t capacity,
                 std::size_t chunk)
    : capacity_(capacity), chunk_(std::min(capacity, chunk)), cache_(std::move(kept)) {
    const config& c = m.shape();
    const auto make = [&](std::size_t cols) {
        return tools::value_of(pare::buffer<float>::make(chunk_ * cols), "activations");
    };
    x_ = make(c.dim);
    normed_ = make(c.dim);
    q_ = make(c.n_heads * c.head_dim);
    k_ = make(c.n_kv_heads * c.head_dim);
    v_ = make(c.n_kv_heads * c.head_dim);
    attended_ = make(c.n_heads * c.head_dim);
    gate_ = make(c.hidden_dim);
    up_ = make(c.hidden_dim);
}

void session::clear() {
    cache_->clear();
    length_ = position_ = 0;
}

void session::mark() {
    cache_->mark();
    marked_length_ = length_;
    marked_position_ = position_;
}

void session::rewind() {
    cache_->rewind();
    length_ = marked_length_;
    position_ = marked_position_;
}

matrix_view<float> session::scratch(pare::buffer<float>& memory, std::size_t rows) const {
    return {memory.data(), rows, memory.size() / chunk_};
}

model::model(const checkpoint& source, const tools::recipe& recipe,
             std::span<const block_statistics> statistics, pare::thread_pool& run,
             const std::function<void()>& told)
    : source_(&source), run_(&run), blocks_(source.shape().n_layers),
      final_norm_(source.final_norm_weight()), head_(source.head().load({}, {}, run)),
      rotary_(std::make_unique<rotary>(source.shape().frequencies, source.shape().context,
                                       source.interleaved_rotary())) {
    for (std::size_t l = 0; l < blocks_.size(); ++l) {
        block& b = blocks_[l];
        for (std::size_t i = 0; i < n_slots; ++i) {
            const slot s = static_cast<slot>(i);
            pare::prune::calibration inputs;
            if (!statistics.empty()) {
                const auto& seen = statistics[l].inputs[static_cast<std::size_t>(input_of(s))];
                inputs = seen.view();
            }
            b.linears[i] = {source.linear(l, s).load(recipe, inputs, run), source.bias(l, s)};
            told();
        }
        b.attention_norm = source.norm_weight(l, norm::attention);
        b.feed_forward_norm = source.norm_weight(l, norm::feed_forward);
        b.hidden_dim = source.hidden_dim(l);
    }
}

void model::forward(std::span<const token> ids, session& s, matrix_view<float> logits) const {
    using pare::kv::pairing;
    const pare::kv::rotary turn{shape().frequencies, source_->interleaved_rotary()
                                                         ? pairing::interleaved
                                                         : pairing::half_split};
    const std::size_t n_silent = ids.size() - logits.rows();  // tokens whose logits nobody wants
    for (std::size_t begin = 0; begin < ids.size(); begin += s.chunk_) {
        const std::size_t n = std::min(s.chunk_, ids.size() - begin);
        if (s.length_ + n > s.capacity_ || s.position_ + n > shape().context)
            throw tools::failure("the text is longer than the model's context of " +
                                 std::to_string(shape().context) + " tokens");
        const matrix_view<float> x = s.scratch(s.x_, n);
        embed(ids.subspan(begin, n), x);
        for (std::size_t l = 0; l < blocks_.size(); ++l) run_block(l, x, s, {});
        s.length_ += n;
        s.position_ = s.cache_->renumber(turn);
        if (begin + n > n_silent) {
            const std::size_t skip = n_silent > begin ? n_silent - begin : 0;
            write_logits(x.block(skip, 0, n - skip, x.cols()), s,
                         logits.block(begin + skip - n_silent, 0, n - skip, logits.cols()));
        }
    }
}

void model::embed(std::span<const token> ids, matrix_view<float> x) const {
    for (std::size_t t = 0; t < ids.size(); ++t) source_->embedding(ids[t], x.row_span(t));
}

void model::apply(const block& b, slot s, matrix_view<const float> x, matrix_view<float> y) const {
    const projection& p = b.linears[static_cast<std::size_t>(s)];
    p.weights->apply(x, y, p.bias, *run_, inputs_);
}

void model::run_block(std::size_t layer, matrix_view<float> x, session& s,
                      const observer& seen) const {
    const block& b = blocks_[layer];
    const std::size_t n = x.rows();
    const auto normed = s.scratch(s.normed_, n), q = s.scratch(s.q_, n), k = s.scratch(s.k_, n),
               v = s.scratch(s.v_, n), attended = s.scratch(s.attended_, n);
    const auto gate = s.scratch(s.gate_, n).block(0, 0, n, b.hidden_dim),
               up = s.scratch(s.up_, n).block(0, 0, n, b.hidden_dim);
    const auto norm_rows = [&](const std::vector<float>& weight) {
        for (std::size_t t = 0; t < n; ++t)
            tools::rms_norm(x.row_span(t), weight, shape().norm_eps, normed.row_span(t));
    };
    const auto see = [&](input where, matrix_view<const float> what) {
        if (seen) seen(where, what);
    };
    const auto add_to_x = [&](matrix_view<const float> y) {
        for (std::size_t t = 0; t < n; ++t)
            for (std::size_t d = 0; d < x.cols(); ++d) x.row_span(t)[d] += y.row_span(t)[d];
    };

    norm_rows(b.attention_norm);
    see(input::attention, normed);
    apply(b, slot::q, normed, q);
    apply(b, slot::k, normed, k);
    apply(b, slot::v, normed, v);
    rotary_->apply(q, s.position_);
    rotary_->apply(k, s.position_);
    s.cache_->append(layer, k, v);
    s.cache_->attend(layer, q, attended, *run_);
    see(input::output, attended);
    apply(b, slot::o, attended, normed);
    add_to_x(normed);

    norm_rows(b.feed_forward_norm);
    see(input::feed_forward, normed);
    apply(b, slot::gate, normed, gate);
    apply(b, slot::up, normed, up);
    for (std::size_t t = 0; t < n; ++t) tools::swiglu(gate.row_span(t), up.row_span(t));
    see(input::down, gate);
    apply(b, slot::down, gate, normed);
    add_to_x(normed);
}

void model::write_logits(matrix_view<const float> x, session& s, matrix_view<float> logits) const {
    const matrix_view<float> normed = s.scratch(s.normed_, x.rows());
    for (std::size_t t = 0; t < x.rows(); ++t)
        tools::rms_norm(x.row_span(t), final_norm_, shape().norm_eps, normed.row_span(t));
    head_->apply(normed, logits, {}, *run_);
}

std::size_t model::n_integer_layers() const {
    if (inputs_ == tools::activation_kind::f32) return 0;
    std::size_t n = 0;
    for (const block& b : blocks_)
        for (const projection& p : b.linears) n += p.weights->multiplies_integers();
    return n;
}

const tools::linear& model::weights(std::size_t layer, slot s) const {
    return *blocks_[layer].linears[static_cast<std::size_t>(s)].weights;
}

void model::take(const model& other, std::size_t layer, slot s) {
    const auto i = static_cast<std::size_t>(s);
    blocks_[layer].linears[i].weights = other.blocks_[layer].linears[i].weights;
}

pare::layer_report model::report() const {
    std::vector<pare::layer_report> layers;
    for (const block& b : blocks_)
        for (const projection& p : b.linears) layers.push_back(p.weights->report());
    return tools::total_of(layers);
}

std::vector<tools::layer_row> model::layers() const {
    std::vector<tools::layer_row> rows;
    for (std::size_t l = 0; l < blocks_.size(); ++l)
        for (std::size_t i = 0; i < n_slots; ++i) {
            const auto s = static_cast<slot>(i);
            rows.push_back({.name = source_->linear_name(l, s),
                            .shape = tools::in_words(source_->linear_shape(l, s)),
                            .report = weights(l, s).report()});
        }
    return rows;
}

}  // namespace llm
