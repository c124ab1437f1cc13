// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "peers.hpp"

#include <cblas.h>

namespace bench {

// Row-major storage throughout. Forms: x and y token by token or feature by feature, W as it is or
// transposed beforehand.
static std::vector<kernel> openblas_dense(problem& p) {
    const auto m = static_cast<blasint>(p.size.rows), k = static_cast<blasint>(p.size.cols),
               n = static_cast<blasint>(p.size.batch);
    std::vector<kernel> forms;
    for (const bool transposed : {false, true})
        for (const bool features : {false, true}) {
            if (n == 1 && features) continue;
            kernel form = dense_peer(p, transposed, features);
            const float* x = p.x(features).data_handle();
            float* y = p.y.data();
            const blasint ldw = transposed ? m : k;
            form.run = [=](const std::byte* weights) {
                const float* w = reinterpret_cast<const float*>(weights);
                if (n == 1)
                    cblas_sgemv(CblasRowMajor, transposed ? CblasTrans : CblasNoTrans,
                                transposed ? k : m, transposed ? m : k, 1.0f, w, ldw, x, 1, 0.0f, y,
                                1);
                else if (features)
                    cblas_sgemm(CblasRowMajor, transposed ? CblasTrans : CblasNoTrans, CblasNoTrans,
                                m, n, k, 1.0f, w, ldw, x, n, 0.0f, y, n);
                else
                    cblas_sgemm(CblasRowMajor, CblasNoTrans, transposed ? CblasNoTrans : CblasTrans,
                                n, m, k, 1.0f, x, k, w, ldw, 0.0f, y, m);
            };
            forms.push_back(std::move(form));
        }
    return forms;
}

static const bool openblas = add({"peer/openblas/dense", "f32", any_shape, openblas_dense,
                                  [](int threads) { openblas_set_num_threads(threads); }});

}  // namespace bench
