// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "peers.hpp"

#include <dnnl.hpp>
#ifdef _OPENMP
#include <omp.h>
#endif

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

/// A primitive of the problem, its weights packed into the form that it asks for.
template <class Primitive, class Descriptor>
kernel form(problem& p, const Descriptor& d, std::string label, bool features,
            std::span<const float> expected, const dnnl::memory::desc& plain_weights) {
    const typename Primitive::primitive_desc description(d, cpu());
    dnnl::memory packed =
        reorder(dnnl::memory(plain_weights, cpu(), p.weights.data()), description.weights_desc());
    dnnl::memory x = reorder(
        dnnl::memory({description.src_desc().dims(), type::f32, features ? tag::ba : tag::ab},
                     cpu(), const_cast<float*>(p.x(features).data_handle())),
        description.src_desc());
    dnnl::memory y(description.dst_desc(), cpu(), p.y.data());

    kernel k;
    k.label = std::move(label);
    k.weight_bytes = packed.get_desc().get_size();
    k.weights = concatenate(
        std::span(static_cast<const std::byte*>(packed.get_data_handle()), k.weight_bytes));
    k.y = p.y_view(features);
    k.expected = expected;
    k.n_weights = p.size.rows * p.size.cols;
    dnnl::memory w(description.weights_desc(), cpu(), nullptr);
    std::unordered_map<int, dnnl::memory> arguments{
        {DNNL_ARG_SRC, x}, {DNNL_ARG_WEIGHTS, w}, {DNNL_ARG_DST, y}};
    k.run = [primitive = Primitive(description), arguments, w](const std::byte* weights) mutable {
        w.set_data_handle(const_cast<std::byte*>(weights));
        primitive.execute(stream(), arguments);
        stream().wait();
    };
    return k;
}

/// Weights of type t, x converted beforehand, y f32.
std::vector<kernel> dense(problem& p, type t, std::span<const float> expected) {
    const auto m = static_cast<dnnl::memory::dim>(p.size.rows),
               k = static_cast<dnnl::memory::dim>(p.size.cols),
               n = static_cast<dnnl::memory::dim>(p.size.batch);
    std::vector<kernel> forms;
    for (const bool features : {false, true}) {
        if (n == 1 && features) continue;
        const tag layout = features ? tag::ba : tag::ab;
        const dnnl::matmul::desc matmul({{n, k}, t, layout}, {{k, m}, t, tag::any},
                                        {{n, m}, type::f32, layout});
        forms.push_back(form<dnnl::matmul>(p, matmul, features ? "matmul, x by feature" : "matmul",
                                           features, expected, {{k, m}, type::f32, tag::ba}));
    }
    const dnnl::inner_product_forward::desc inner_product(
        dnnl::prop_kind::forward_inference, {{n, k}, t, tag::ab}, {{m, k}, t, tag::any},
        {{n, m}, type::f32, tag::ab});
    forms.push_back(form<dnnl::inner_product_forward>(p, inner_product, "inner product", false,
                                                      expected, {{m, k}, type::f32, tag::ab}));
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
