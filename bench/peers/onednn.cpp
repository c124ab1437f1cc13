// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "peers.hpp"

#include <dnnl.hpp>
#ifdef _OPENMP
#include <omp.h>
#endif

#include <string_view>
#include <unordered_map>

namespace bench {

namespace {

using tag = dnnl::memory::format_tag;
using type = dnnl::memory::data_type;

void set_threads([[maybe_unused]] int threads) {
#ifdef _OPENMP
    omp_set_num_threads(threads);
#endif
}

const dnnl::engine& cpu() {
    static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
    return engine;
}
dnnl::stream& stream() {
    static dnnl::stream s(cpu());
    return s;
}

/// Copies `from` into a new memory of the wanted format.
dnnl::memory reorder(dnnl::memory from, const dnnl::memory::desc& wanted) {
    dnnl::memory to(wanted, cpu());
    dnnl::reorder(from, to).execute(stream(), from, to);
    stream().wait();
    return to;
}

/// Adds a primitive whose argument `w_argument` is W, reordered from `plain` into the format that
/// the primitive asks for; the other argument is x, in its own order. Not oneDNN's reference code.
template <class Primitive>
void add_form(std::vector<kernel>& forms, problem& p, std::string label, bool features,
              std::span<const float> expected, const typename Primitive::primitive_desc& made,
              int w_argument, tag plain) {
    if (std::string_view(made.impl_info_str()).starts_with("ref")) return;
    const bool w_first = w_argument == DNNL_ARG_SRC;
    const dnnl::memory::desc w_format = w_first ? made.src_desc() : made.weights_desc(),
                             x_format = w_first ? made.weights_desc() : made.src_desc();
    const dnnl::memory packed = reorder(
        dnnl::memory({w_format.dims(), type::f32, plain}, cpu(), p.weights.data()), w_format);
    const dnnl::memory x = reorder(dnnl::memory({x_format.dims(), type::f32, tag::ab}, cpu(),
                                                const_cast<float*>(p.x(features).data_handle())),
                                   x_format);
    const dnnl::memory y(made.dst_desc(), cpu(), p.y.data());

    kernel k;
    k.label = std::move(label);
    k.weight_bytes = packed.get_desc().get_size();
    k.weights = concatenate(
        std::span(static_cast<const std::byte*>(packed.get_data_handle()), k.weight_bytes));
    k.y = p.y_view(features);
    k.expected = expected;
    k.n_weights = p.size.rows * p.size.cols;
    const dnnl::memory w(w_format, cpu(), nullptr);
    const std::unordered_map<int, dnnl::memory> arguments{
        {w_argument, w}, {w_first ? DNNL_ARG_WEIGHTS : DNNL_ARG_SRC, x}, {DNNL_ARG_DST, y}};
    k.run = [primitive = Primitive(made), arguments, w](const std::byte* weights) {
        w.set_data_handle(const_cast<std::byte*>(weights));
        primitive.execute(stream(), arguments);
        stream().wait();
    };
    forms.push_back(std::move(k));
}

/// Weights of type t, x converted beforehand, y f32.
std::vector<kernel> dense(problem& p, type t, std::span<const float> expected) {
    const auto m = static_cast<dnnl::memory::dim>(p.size.rows),
               k = static_cast<dnnl::memory::dim>(p.size.cols),
               n = static_cast<dnnl::memory::dim>(p.size.batch);
    std::vector<kernel> forms;
    const dnnl::matmul::desc by_token({{n, k}, t, tag::ab}, {{k, m}, t, tag::any},
                                      {{n, m}, type::f32, tag::ab});
    add_form<dnnl::matmul>(forms, p, "matmul", false, expected, {by_token, cpu()}, DNNL_ARG_WEIGHTS,
                           tag::ba);
    const dnnl::inner_product_forward::desc inner_product(
        dnnl::prop_kind::forward_inference, {{n, k}, t, tag::ab}, {{m, k}, t, tag::any},
        {{n, m}, type::f32, tag::ab});
    add_form<dnnl::inner_product_forward>(forms, p, "inner product", false, expected,
                                          {inner_product, cpu()}, DNNL_ARG_WEIGHTS, tag::ab);
    if (n > 1) {
        const dnnl::matmul::desc by_feature({{m, k}, t, tag::ab}, {{k, n}, t, tag::ab},
                                            {{m, n}, type::f32, tag::ab});
        add_form<dnnl::matmul>(forms, p, "matmul, x by feature", true, expected,
                               {by_feature, cpu()}, DNNL_ARG_SRC, tag::ab);
    }
    return forms;
}

const bool onednn_f32 =
    add({"peer/onednn/dense", "f32", any_shape,
         [](problem& p) { return dense(p, type::f32, p.packed<1, 1, float>().expected); },
         set_threads});
const bool onednn_bf16 =
    add({"peer/onednn/dense", "bf16", any_shape,
         [](problem& p) { return dense(p, type::bf16, p.packed<1, 1, pare::bf16>().expected); },
         set_threads});

}  // namespace

}  // namespace bench
