// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "peers.hpp"

#include <libxsmm.h>

namespace bench {

namespace {

using dim = libxsmm_blasint;

/// fn(i) for i in [0, n), dealt out to the threads in turn; fn learns which thread it is on.
template <class Fn>
void deal(int threads, int n, const Fn& fn) {
#ifdef _OPENMP
#pragma omp parallel for num_threads(threads) schedule(static, 1)
#endif
    for (int thread = 0; thread < threads; ++thread)
        for (int i = thread; i < n; i += threads) fn(i, thread);
}

/// Blocks of the dense product: bm outputs by kb inputs of W, bn tokens.
struct blocking {
    std::size_t bm, bn, kb;
};

/// W cut into blocks [rows / bm][cols / kb][kb][bm], multiplied by libxsmm's batch-reduce kernel:
/// column-major y (rows, tokens) += sum over the blocks of a row of (bm, kb) * (kb, bn).
std::vector<kernel> dense(problem& p) {
    const std::size_t m = p.size.rows, k = p.size.cols, n = p.size.batch;
    std::vector<kernel> forms;
    for (const std::size_t bm : {32u, 48u, 64u})
        for (const std::size_t bn : {16u, 24u, 64u}) {
            const std::size_t kb = k % 64 == 0 ? 64 : 48;
            const blocking b{bm, std::min<std::size_t>(bn, n), kb};
            if (m % b.bm != 0 || k % b.kb != 0) continue;
            if (bn > 16 && n < bn) continue;
            const dim lda = static_cast<dim>(b.bm), ldb = static_cast<dim>(k),
                      ldc = static_cast<dim>(m);
            const dim stride_a = static_cast<dim>(b.bm * b.kb * sizeof(float)),
                      stride_b = static_cast<dim>(b.kb * sizeof(float));
            const float zero = 0.0f;
            const auto dispatch = [&](std::size_t tokens) {
                return libxsmm_smmdispatch_reducebatch_strd(
                    static_cast<dim>(b.bm), static_cast<dim>(tokens), static_cast<dim>(b.kb),
                    stride_a, stride_b, &lda, &ldb, &ldc, nullptr, &zero, nullptr, nullptr);
            };
            const auto body = dispatch(b.bn);
            const auto tail = n % b.bn != 0 ? dispatch(n % b.bn) : body;
            if (body == nullptr || tail == nullptr) continue;

            kernel form;
            form.label = "blocks of " + std::to_string(b.bm) + 'x' + std::to_string(b.kb) + ", " +
                         std::to_string(b.bn) + " tokens";
            form.y = p.y_view(false);
            form.expected = p.packed<1, 1, float>().expected;
            form.n_weights = m * k;
            form.weight_bytes = m * k * sizeof(float);
            form.weights = make_buffer<std::byte>(form.weight_bytes);
            float* out = reinterpret_cast<float*>(form.weights.data());
            for (std::size_t i = 0; i < m; i += b.bm)
                for (std::size_t c = 0; c < k; ++c)
                    for (std::size_t r = 0; r < b.bm; ++r) *out++ = p.w()(i + r, c);
            form.run = [=, x = p.x_tokens.data(), y = p.y.data(),
                        threads = p.size.threads](const std::byte* weights) {
                const float* w = reinterpret_cast<const float*>(weights);
                deal(threads, static_cast<int>(m / b.bm), [&](int tile, int) {
                    const std::size_t i = static_cast<std::size_t>(tile) * b.bm;
                    const unsigned long long blocks = k / b.kb;
                    for (std::size_t t = 0; t < n; t += b.bn)
                        (t + b.bn <= n ? body : tail)(w + i * k, x + t * k, y + t * m + i, &blocks);
                });
            };
            forms.push_back(std::move(form));
        }
    return forms;
}

/// The sparse-times-dense product for unstructured weights, C (rows, batch) = A B. x and y by
/// feature
/// ('N') or by token ('T').
std::vector<kernel> sparse(problem& p, const pare::buffer<float>& pruned,
                           std::span<const float> expected) {
    struct state {
        libxsmm_spmdm_handle handle;
        libxsmm_CSR_sparseslice* slices;
        ~state() { libxsmm_spmdm_destroy(&handle); }
    };
    auto shared = std::make_shared<state>();
    libxsmm_spmdm_init(static_cast<int>(p.size.rows), static_cast<int>(p.size.batch),
                       static_cast<int>(p.size.cols), p.size.threads, &shared->handle,
                       &shared->slices);
    const int n_slices = libxsmm_spmdm_get_num_createSparseSlice_blocks(&shared->handle);
    for (int b = 0; b < n_slices; ++b)
        libxsmm_spmdm_createSparseSlice_fp32_thread(&shared->handle, 'N', pruned.data(),
                                                    shared->slices, b, 0, 1);
    const auto n_stored = static_cast<std::size_t>(std::count_if(
        pruned.data(), pruned.data() + pruned.size(), [](float w) { return w != 0; }));
    std::vector<kernel> forms;
    for (const bool features : {true, false}) {
        kernel form;
        form.label = features ? "x by feature" : "x by token";
        form.y = p.y_view(features);
        form.expected = expected;
        form.n_weights = n_stored;
        form.weight_bytes = n_stored * (sizeof(float) + sizeof(std::uint16_t));
        form.run = [shared, x = p.x(features).data_handle(), y = p.y.data(), features,
                    threads = p.size.threads](const std::byte*) {
            const float one = 1.0f, zero = 0.0f;
            const char order = features ? 'N' : 'T';
            deal(threads, libxsmm_spmdm_get_num_compute_blocks(&shared->handle),
                 [&](int block, int thread) {
                     libxsmm_spmdm_compute_fp32_thread(&shared->handle, 'N', order, &one,
                                                       shared->slices, x, order, &zero, y, block,
                                                       thread, threads);
                 });
        };
        forms.push_back(std::move(form));
    }
    return forms;
}

void set_threads(int) { libxsmm_init(); }

const bool libxsmm_dense = add({"peer/libxsmm/dense", "f32", any_shape, dense, set_threads});
// It keeps the weights in memory of its own and works on blocks of tokens.
const bool libxsmm_sparse = add_sparse(
    "libxsmm", [](const shape& s) { return s.batch > 1; }, sparse, set_threads);

}  // namespace

}  // namespace bench
