// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "peers.hpp"

#include <Eigen/Core>
#include <Eigen/SparseCore>

namespace bench {

namespace {

using row_major = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using col_major = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::ColMajor>;
using vector = Eigen::VectorXf;
using csr = Eigen::SparseMatrix<float, Eigen::RowMajor, int>;

void set_threads(int threads) { Eigen::setNbThreads(threads); }

Eigen::Index index(std::size_t n) { return static_cast<Eigen::Index>(n); }

/// y = W x with x (cols, batch), y (rows, batch): stored by feature they are row-major, by token
/// column-major.
template <class Weights>
void multiply(const Weights& w, problem& p, const float* x, float* y, bool features) {
    const Eigen::Index m = index(p.size.rows), k = index(p.size.cols), n = index(p.size.batch);
    if (n == 1) Eigen::Map<vector>(y, m).noalias() = w * Eigen::Map<const vector>(x, k);
    else if (features)
        Eigen::Map<row_major>(y, m, n).noalias() = w * Eigen::Map<const row_major>(x, k, n);
    else Eigen::Map<col_major>(y, m, n).noalias() = w * Eigen::Map<const col_major>(x, k, n);
}

std::vector<kernel> dense(problem& p) {
    std::vector<kernel> forms;
    for (const bool transposed : {false, true})
        for (const bool features : {false, true}) {
            if (p.size.batch == 1 && features) continue;
            kernel form = dense_peer(p, transposed, features);
            form.run = [&p, transposed, features, x = p.x(features).data_handle(),
                        y = p.y.data()](const std::byte* weights) {
                const float* w = reinterpret_cast<const float*>(weights);
                const Eigen::Index m = index(p.size.rows), k = index(p.size.cols);
                if (transposed) multiply(Eigen::Map<const col_major>(w, m, k), p, x, y, features);
                else multiply(Eigen::Map<const row_major>(w, m, k), p, x, y, features);
            };
            forms.push_back(std::move(form));
        }
    return forms;
}

std::vector<kernel> sparse(problem& p, const pare::buffer<float>& pruned,
                           std::span<const float> expected) {
    const Eigen::Index m = index(p.size.rows), k = index(p.size.cols);
    const csr w = Eigen::Map<const row_major>(pruned.data(), m, k).sparseView();
    const auto n_stored = static_cast<std::size_t>(w.nonZeros());
    std::vector<kernel> forms;
    for (const bool features : {false, true}) {
        if (p.size.batch == 1 && features) continue;
        kernel form;
        form.label = features ? "x by feature" : "x by token";
        const std::span starts(w.outerIndexPtr(), p.size.rows + 1);
        form.weights = concatenate(std::span(w.valuePtr(), n_stored),
                                   std::span(w.innerIndexPtr(), n_stored), starts);
        form.y = p.y_view(features);
        form.expected = expected;
        form.n_weights = n_stored;
        form.weight_bytes = n_stored * 8 + starts.size_bytes();
        const std::size_t stride = (n_stored * sizeof(float) + 63) / 64 * 64;
        form.run = [&p, m, k, n_stored, stride, features, x = p.x(features).data_handle(),
                    y = p.y.data()](const std::byte* weights) {
            const Eigen::Map<const csr> mapped(m, k, index(n_stored),
                                               reinterpret_cast<const int*>(weights + 2 * stride),
                                               reinterpret_cast<const int*>(weights + stride),
                                               reinterpret_cast<const float*>(weights));
            multiply(mapped, p, x, y, features);
        };
        forms.push_back(std::move(form));
    }
    return forms;
}

const bool eigen_dense = add({"peer/eigen/dense", "f32", any_shape, dense, set_threads});
const bool eigen_sparse = add_sparse("eigen", any_shape, sparse, set_threads);

}  // namespace

}  // namespace bench
