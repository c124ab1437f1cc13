// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "trace.hpp"

#include "common/error.hpp"

#include <pare/io/safetensors_reader.hpp>
#include <pare/io/safetensors_writer.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <memory>
#include <utility>

namespace kvlab {

namespace {

using pare::matrix_view;
using pare::io::tensor_info;
using tools::failure, tools::value_of;

/// Passes everything on to another cache, and keeps a copy.
class recorder final : public llm::cache {
  public:
    recorder(std::unique_ptr<llm::cache> inner, trace& to) : inner_(std::move(inner)), to_(&to) {}

    void append(std::size_t layer, matrix_view<const float> keys,
                matrix_view<const float> values) override {
        copy(keys, to_->layers[layer].k);
        copy(values, to_->layers[layer].v);
        inner_->append(layer, keys, values);
    }
    void attend(std::size_t layer, matrix_view<const float> queries, matrix_view<float> out,
                pare::thread_pool& run) override {
        copy(queries, to_->layers[layer].q);
        inner_->attend(layer, queries, out, run);
    }
    std::size_t renumber(const pare::kv::rotary& turn) override { return inner_->renumber(turn); }
    void clear() override { inner_->clear(); }
    void mark() override { inner_->mark(); }
    void rewind() override { inner_->rewind(); }
    std::size_t peak_bytes() const override { return inner_->peak_bytes(); }
    const pare::kv::store& tokens() const override { return inner_->tokens(); }

  private:
    static void copy(matrix_view<const float> rows, std::vector<float>& to) {
        for (std::size_t t = 0; t < rows.rows(); ++t)
            to.insert(to.end(), rows.row_span(t).begin(), rows.row_span(t).end());
    }

    std::unique_ptr<llm::cache> inner_;
    trace* to_;
};

std::string name_of(std::size_t layer, const char* what) {
    return std::string("layer").append(std::to_string(layer)).append(".").append(what);
}

std::vector<float> read(const tensor_info& tensor, const std::string& about) {
    std::vector<float> numbers(tensor.size());
    value_of(pare::io::read_as_float(tensor, numbers), about);
    if (!std::all_of(numbers.begin(), numbers.end(), [](float x) { return std::isfinite(x); }))
        throw failure(about + ": holds numbers that are not finite");
    return numbers;
}

}  // namespace

trace record(const llm::model& m, std::span<const llm::token> ids) {
    trace t;
    t.shape = m.shape();
    t.ids.assign(ids.begin(), ids.end());
    t.layers.resize(t.shape.n_layers);
    const std::size_t chunk = std::min(ids.size(), llm::session::max_chunk);
    llm::session s(m,
                   std::make_unique<recorder>(llm::make_cache(m.shape(), {}, ids.size(), chunk), t),
                   ids.size(), chunk);
    m.forward(ids, s, {});
    return t;
}

trace read_trace(const std::string& file) {
    const auto reader = value_of(pare::io::safetensors_reader::open(file.c_str()), file);
    trace t;
    std::array<std::size_t, 3> q_shape{}, kv_shape{};
    for (std::size_t l = 0;; ++l) {
        const auto read_as = [&](const char* what, std::array<std::size_t, 3>& shape) {
            const std::string about = std::string(file).append(": ").append(name_of(l, what));
            const tensor_info tensor = value_of(reader.find(name_of(l, what)), about);
            if (tensor.rank != 3 || tensor.size() == 0)
                throw failure(about + ": is not (tokens, heads, head_dim)");
            if (shape[0] == 0) std::copy_n(tensor.extents.begin(), 3, shape.begin());
            if (!std::equal(shape.begin(), shape.end(), tensor.extents.begin()))
                throw failure(about + ": has another shape than those before");
            return read(tensor, about);
        };
        if (l != 0 && !reader.find(name_of(l, "q_rope"))) break;
        trace::layer& made = t.layers.emplace_back();
        made.q = read_as("q_rope", q_shape);
        made.k = read_as("k_rope", kv_shape);
        made.v = read_as("v", kv_shape);
    }
    if (kv_shape[0] != q_shape[0] || kv_shape[2] != q_shape[2])
        throw failure(file + ": queries and keys differ in tokens or head_dim");
    if (q_shape[1] % kv_shape[1] != 0)
        throw failure(file + ": the KV heads do not divide the query heads");
    t.shape.n_layers = t.layers.size();
    t.shape.n_heads = q_shape[1];
    t.shape.n_kv_heads = kv_shape[1];
    t.shape.head_dim = q_shape[2];
    if (const auto ids = reader.find("ids")) {
        const auto numbers = value_of(pare::io::elements<std::int32_t>(*ids), file + ": ids");
        t.ids.assign(numbers.begin(), numbers.end());
    }
    return t;
}

void write_trace(const trace& t, const std::string& file) {
    pare::io::safetensors_writer out(file);
    const std::size_t n = t.n_tokens(), dim = t.shape.head_dim, n_ids[] = {t.ids.size()};
    const std::vector<std::int32_t> ids(t.ids.begin(), t.ids.end());
    out.add("ids", pare::io::dtype::i32, n_ids, std::as_bytes(std::span(ids)));
    for (std::size_t l = 0; l < t.layers.size(); ++l) {
        const auto add = [&](const char* what, std::size_t heads, const std::vector<float>& x) {
            const std::size_t shape[] = {n, heads, dim};
            out.add(name_of(l, what), pare::io::dtype::f32, shape, std::as_bytes(std::span(x)));
        };
        add("q_rope", t.shape.n_heads, t.layers[l].q);
        add("k_rope", t.shape.n_kv_heads, t.layers[l].k);
        add("v", t.shape.n_kv_heads, t.layers[l].v);
    }
    value_of(out.commit(), file);
}

}  // namespace kvlab
