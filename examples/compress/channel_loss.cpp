// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "channel_loss.hpp"

#include "common/error.hpp"
#include "common/tensors.hpp"

#include <pare/core/dtype.hpp>
#include <pare/eigen/least_squares_repair.hpp>

#include <algorithm>
#include <cstring>
#include <string>

namespace compressor {

namespace {

std::string about(const pare::io::tensor_info& t) { return "tensor '" + std::string(t.name) + "'"; }

// Returns whether all that is finite is so as a T.
template <class T>
bool store(std::span<const float> values, std::byte* to) {
    bool fit = true;
    for (std::size_t i = 0; i < values.size(); ++i) {
        const T value = pare::from_float<T>(values[i]);
        fit = fit && (pare::is_finite(pare::to_float(value)) || !pare::is_finite(values[i]));
        std::memcpy(to + i * sizeof(T), &value, sizeof(T));
    }
    return fit;
}

bool store_as(pare::io::dtype type, std::span<const float> values, std::byte* to) {
    if (type == pare::io::dtype::f16) return store<pare::f16>(values, to);
    if (type == pare::io::dtype::bf16) return store<pare::bf16>(values, to);
    return store<float>(values, to);
}

// Calls use(column) for the columns of the inputs that stay.
void for_each_column(const channel_loss& l, const auto& use) {
    for (const std::uint32_t input : l.inputs)
        for (std::size_t t = 0; t < l.taps; ++t) use(input * l.taps + t);
}

// (rows, columns that stay)
std::vector<float> columns_left(const channel_loss& l, const pare::io::tensor_info& whole) {
    const std::vector<float> values = tools::read_floats(whole);
    const std::size_t rows = whole.extents[0], n = l.inputs.size() * l.taps;
    const pare::matrix_view<const float> w(values.data(), rows, values.size() / rows);
    std::vector<float> left;
    if (l.repair != nullptr) {
        left.resize(rows * n);
        tools::value_of(pare::eigen::least_squares_repair{}.fold(
                            w, l.taps, l.inputs, l.repair->find(whole.name).value().gram,
                            {left.data(), rows, n}, {}),
                        about(whole));
        return left;
    }
    left.reserve(rows * n);
    for (std::size_t r = 0; r < rows; ++r)
        for_each_column(l, [&](std::size_t c) { left.push_back(w(r, c)); });
    return left;
}

}  // namespace

std::vector<std::size_t> channel_loss::shape_left(std::span<const std::size_t> shape) const {
    std::vector<std::size_t> left(shape.begin(), shape.end());
    if (!rows.empty()) left[0] = rows.size();
    if (!inputs.empty())  // of a convolution the taps have extents of their own
        left[1] = inputs.size() * taps * shape[0] * shape[1] / pare::io::n_elements(shape);
    return left;
}

pare::io::tensor_info channel_loss::apply(const pare::io::tensor_info& whole,
                                          std::vector<float>& memory) const {
    if (describe(whole.type).bits % 8 != 0)
        throw tools::failure(about(whole) + ": elements of its type do not begin at bytes");
    pare::io::tensor_info left = whole;
    std::ranges::copy(shape_left(whole.shape()), left.extents.begin());
    const std::size_t element = describe(whole.type).bits / 8;
    std::vector<std::byte> columns;  // of all rows
    std::span<const std::byte> from = whole.bytes;
    if (!inputs.empty()) {
        const std::vector<float> values = columns_left(*this, whole);
        columns.resize(values.size() * element);
        if (!store_as(whole.type, values, columns.data()))
            throw tools::failure(about(whole) + ": a repaired weight does not fit its type");
        from = columns;
    }
    const std::size_t row = from.size() / whole.extents[0], n = left.size() * element;
    memory.resize((n + sizeof(float) - 1) / sizeof(float));
    const auto to = std::as_writable_bytes(std::span(memory)).first(n);
    for (std::size_t r = 0; r < left.extents[0]; ++r)
        std::ranges::copy(from.subspan((rows.empty() ? r : rows[r]) * row, row),
                          to.subspan(r * row).begin());
    left.bytes = to;
    return left;
}

own_sums channel_loss::apply(const pare::prune::input_sums& whole) const {
    own_sums left{whole.tokens, {}, {}, {}};
    for_each_column(*this, [&](std::size_t c) {
        left.squares.push_back(whole.squares[c]);
        left.largest.push_back(whole.largest[c]);
        if (!whole.gram.empty())
            for_each_column(*this, [&](std::size_t k) { left.gram.push_back(whole.gram(c, k)); });
    });
    return left;
}

}  // namespace compressor
