// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KERNEL_ATTENTION_ERROR_HPP
#define PARE_KERNEL_ATTENTION_ERROR_HPP

#include "../core/buffer.hpp"
#include "../core/dtype.hpp"
#include "../core/status.hpp"
#include "../core/tensor_view.hpp"
#include "../kv/gather.hpp"
#include "../kv/store.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

namespace pare::kernel::inline PARE_ARCH_NAMESPACE {

namespace detail {

// out (head_dim) of one query over the first keys and values, by the book. p: one for each key.
inline void dense_attention(std::span<const float> query, matrix_view<const float> keys,
                            matrix_view<const float> values, std::span<double> p,
                            std::span<double> out) noexcept {
    const double root = std::sqrt(static_cast<double>(query.size()));
    double most = 0.0, total = 0.0;
    for (std::size_t t = 0; t < p.size(); ++t) {
        p[t] = 0.0;
        for (std::size_t d = 0; d < query.size(); ++d)
            p[t] += static_cast<double>(query[d]) * static_cast<double>(keys(t, d)) / root;
        if (t == 0 || p[t] > most) most = p[t];
    }
    for (double& x : p) {
        x = std::exp(x - most);
        total += x;
    }
    for (std::size_t d = 0; d < out.size(); ++d) {
        out[d] = 0.0;
        for (std::size_t t = 0; t < p.size(); ++t)
            out[d] += p[t] / total * static_cast<double>(values(t, d));
    }
}

}  // namespace detail

/// The largest difference between `out` and attention over the kept tokens, gathered into dense
/// matrices and computed in double by nothing that attention() uses; infinity where one of the two
/// is no number. A check for debug builds, many times slower: call it after attention() with the
/// same arguments and before anything is appended or evicted. Floats explain 1e-7 to 1e-5 of the
/// largest value; a token that is lost, hidden, or not where the ledger says costs far more. A
/// kv::cache evicts at once: fork() the sequence after append(), and check with the fork.
///
/// Allocates: one head, gathered. queries, out: (tokens, query_heads * head_dim), query i at
/// `position` + i.
/// @return shape_mismatch; not_contiguous; invalid_argument; out_of_memory
inline result<float> attention_error(const kv::store& s, std::size_t sequence, std::size_t layer,
                                     matrix_view<const float> queries, matrix_view<const float> out,
                                     std::size_t position) noexcept {
    const kv::shape& shape = s.shape();
    const std::size_t dim = shape.head_dim;
    if (queries.cols() != shape.query_heads * dim || queries.extents() != out.extents())
        return error{errc::shape_mismatch, "queries and out: (tokens, query_heads * head_dim)"};
    if (queries.col_stride() != 1 || out.col_stride() != 1)
        return error{errc::not_contiguous, "queries and out need consecutive columns"};
    if (sequence >= shape.sequences || layer >= shape.layers)
        return error{errc::invalid_argument, "no such sequence or layer"};
    auto expected = buffer<double>::make(dim);
    if (!expected) return expected.error();
    double worst = 0.0;
    for (std::size_t h = 0; h < shape.kv_heads; ++h) {
        const std::size_t n = s.size(sequence, layer, h);
        auto keys = buffer<float>::make(n * dim), values = buffer<float>::make(n * dim);
        auto positions = buffer<std::uint32_t>::make(n);
        auto p = buffer<double>::make(n);
        if (!keys || !values || !positions || !p)
            return error{errc::out_of_memory, "a head's tokens, gathered", n};
        const status gathered = kv::gather(s, sequence, layer, h, {keys->data(), n, dim},
                                           {values->data(), n, dim}, positions->span());
        if (!gathered) return gathered.error();
        for (std::size_t i = 0; i < queries.rows(); ++i) {
            std::size_t n_seen = 0;
            while (n_seen < n && (*positions)[n_seen] <= position + i) ++n_seen;
            for (std::size_t g = 0; g < shape.group_size(); ++g) {
                const std::size_t column = (h * shape.group_size() + g) * dim;
                detail::dense_attention(queries.row_span(i).subspan(column, dim),
                                        {keys->data(), n_seen, dim}, {values->data(), n_seen, dim},
                                        p->span().first(n_seen), expected->span());
                for (std::size_t d = 0; d < dim; ++d) {
                    const float wanted = static_cast<float>((*expected)[d]);
                    if (!is_finite(wanted) || !is_finite(out(i, column + d)))
                        return std::numeric_limits<float>::infinity();
                    const double off =
                        std::fabs(static_cast<double>(out(i, column + d)) - (*expected)[d]);
                    if (off > worst) worst = off;
                }
            }
        }
    }
    return static_cast<float>(worst);
}

}  // namespace pare::kernel::inline PARE_ARCH_NAMESPACE

namespace pare {
using kernel::attention_error;
}  // namespace pare

#endif  // PARE_KERNEL_ATTENTION_ERROR_HPP
