// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_TESTS_PACKED_GOLDEN_HPP
#define PARE_TESTS_PACKED_GOLDEN_HPP

#include <pare/core/dtype.hpp>
#include <pare/packed/hinm.hpp>
#include <pare/prune/n_m.hpp>

#include "support/guarded_buffer.hpp"
#include "support/matrix.hpp"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

namespace pare::testing {

// Changing any golden byte changes the format: that takes a new format version, not a new number.
// Hashes are of bytes written by an independent program from the description in docs/formats.md.

/// A number of packed memory that is not zero, at slot * 16 + lane.
struct entry {
    std::size_t slot, lane;
    std::uint32_t bits;
};

/// Memory of packed weights, between guards and off any alignment but that of its elements.
template <class T>
struct packed_memory {
    packed_memory(std::size_t n_values, std::size_t n_words)
        : values(n_values, sizeof(T)), words(n_words, sizeof(std::uint32_t)) {
        spoil();
    }

    /// Fills it with ones.
    void spoil() {
        std::memset(values.data(), 0xff, values.size() * sizeof(T));
        std::memset(words.data(), 0xff, words.size() * sizeof(std::uint32_t));
    }
    bool intact() const { return values.intact() && words.intact(); }

    /// Whether those listed are as listed, and all others zero.
    bool has_only(const std::vector<entry>& of_values, const std::vector<entry>& of_words) const {
        const auto are = [](std::size_t size, auto&& get, const std::vector<entry>& entries) {
            std::vector<std::uint32_t> expected(size);
            for (const entry& e : entries) expected.at(e.slot * 16 + e.lane) = e.bits;
            for (std::size_t i = 0; i < size; ++i)
                if (get(i) != expected[i]) return false;
            return true;
        };
        const auto value = [&](std::size_t i) { return value_bits(i); };
        const auto word = [&](std::size_t i) { return words[i]; };
        return are(values.size(), value, of_values) && are(words.size(), word, of_words);
    }
    /// FNV-1a over the little-endian bytes of the values, then of the words.
    std::uint64_t hash() const {
        std::uint64_t hash = 0xcbf29ce484222325;
        const auto add = [&](std::uint32_t word, std::size_t n_bytes) {
            for (std::size_t i = 0; i < n_bytes; ++i)
                hash = (hash ^ (word >> (8 * i) & 0xff)) * 0x100000001b3;
        };
        for (std::size_t i = 0; i < values.size(); ++i) add(value_bits(i), sizeof(T));
        for (std::size_t i = 0; i < words.size(); ++i) add(words[i], 4);
        return hash;
    }

    /// How much of w under the mask does not come back, rounded to T, or is stored beside it.
    int errors(const auto& made, const matrix& weights, const bits& kept) const {
        matrix restored(weights.rows(), weights.cols());
        for (float& x : restored.data()) x = std::numeric_limits<float>::quiet_NaN();
        if (!packed::check(made) || !packed::unpack(made, restored.view())) return -1;
        int wrong = !intact();
        std::ptrdiff_t n_weights = 0;
        for (std::size_t r = 0; r < weights.rows(); ++r)
            for (std::size_t c = 0; c < weights.cols(); ++c) {
                const float w = kept(r, c) ? to_float(from_float<T>(weights(r, c))) : 0.0f;
                wrong += restored(r, c) != w;
                n_weights += w != 0.0f;
            }
        // Fillers and padding are zero.
        const auto stored = values.span();
        n_weights -=
            std::count_if(stored.begin(), stored.end(), [](T v) { return to_float(v) != 0.0f; });
        wrong += n_weights != 0;
        return wrong + (made.required_bytes() != values.size() * sizeof(T) + words.size() * 4);
    }

    guarded_buffer<T> values;
    guarded_buffer<std::uint32_t> words;

  private:
    std::uint32_t value_bits(std::size_t i) const {
        if constexpr (sizeof(T) == 4) return std::bit_cast<std::uint32_t>(values[i]);
        else return values[i].bits;
    }
};

/// Multiples of 1/4 that every stored type holds, of both signs, none of them 0.
inline matrix golden_weights(std::size_t rows, std::size_t cols) {
    matrix weights(rows, cols);
    for (std::size_t r = 0; r < rows; ++r)
        for (std::size_t c = 0; c < cols; ++c)
            weights(r, c) =
                static_cast<float>((r * cols + c) % 127 + 1) * ((r + c) % 3 == 0 ? -0.25f : 0.25f);
    return weights;
}

/// Masks of n_m weights, of hinm weights in golden_order(), and of blocks.
template <int N, int M>
void golden_select(std::size_t rows, std::size_t cols, bits& kept) {
    matrix scores(rows, cols);
    for (std::size_t r = 0; r < rows; ++r)
        for (std::size_t c = 0; c < cols; ++c)
            scores(r, c) = static_cast<float>((r * 7 + c * 11) % 13);
    prune::n_m<N, M>{}.select(scores.view(), kept.view());
}

/// rows and 5, cols and 7 have no common factor.
inline prune::hinm_order golden_order(const packed::hinm_shape& s) {
    auto order = *prune::hinm_order::make(s.rows, s.cols, s.tile_rows, s.kept, s.dense);
    for (std::size_t i = 0; i < s.rows && !s.in_place; ++i)
        order.outputs()[i] = static_cast<std::uint32_t>((5 * i + 2) % s.rows);
    for (std::size_t t = 0; t < order.n_tiles(); ++t)
        for (std::size_t c = 0; c < s.kept; ++c)
            order.columns(t)[c] = static_cast<std::uint32_t>((7 * c + 3 * t + 1) % s.cols);
    return order;
}

/// Of the dense columns most, of every group N or one fewer.
template <int N, int M>
void golden_select(const prune::hinm_order& order, bits& kept) {
    for (std::size_t i = 0; i < order.rows(); ++i) {
        const std::size_t row = order.outputs()[i];
        const auto columns = order.columns(i / order.tile_rows());
        for (std::size_t c = 0; c < order.dense(); ++c)
            kept.view().set(row, columns[c], (row + c) % 5 != 0);
        for (std::size_t g = 0; order.dense() + g * M < order.kept(); ++g) {
            const auto group = columns.subspan(order.dense() + g * M);
            const std::size_t length = std::min<std::size_t>(M, group.size());
            const std::size_t fewer = (row + g) % 4 == 0;
            for (std::size_t k = fewer; k < std::min<std::size_t>(N, length); ++k)
                kept.view().set(row, group[(row + g + k - fewer) % length], true);
        }
    }
}

inline void keep(bits& kept, std::size_t col, std::size_t first, std::size_t n) {
    for (std::size_t r = first; r < first + n; ++r) kept.view().set(r, col, true);
}

/// Gaps of 0 to 4 rows between blocks; in every third column the last row cuts one short.
template <int B>
void golden_select(bits& kept, std::size_t rows, std::size_t cols) {
    for (std::size_t c = 0; c < cols; ++c)
        for (std::size_t r = c % 5; r < rows; r += B + (3 * r + c) % 5) {
            if (r + B > rows && c % 3 != 0) break;
            keep(kept, c, r, std::min<std::size_t>(B, rows - r));
        }
}

}  // namespace pare::testing

#endif  // PARE_TESTS_PACKED_GOLDEN_HPP
