// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "tuned.hpp"

#include "common/error.hpp"
#include "common/report.hpp"
#include "common/tensors.hpp"
#include "product.hpp"

#include <pare/tune/race.hpp>

#include <algorithm>
#include <cmath>
#include <utility>

namespace tuner {

namespace {

using pare::tune::candidate;

// What a recipe packs, whose time is what matters: not which weights it keeps.
tools::recipe uncalibrated(tools::recipe r) {
    r.saliency = tools::saliency_kind::magnitude;
    r.gptq = false;
    return r;
}

packed_shape pack(const layer_shape& shape, const tools::recipe& r, const options& o,
                  const compressor::calibration& inputs, pare::thread_pool& run) {
    packed_shape packed{&r, "", nullptr, false, {}};
    for (const compressor::tensor& t : shape.layers)
        packed.of_layers.push_back(compressor::compress({t, {r}}, inputs, true, nullptr, run)[0]);
    std::vector<float> memory;
    packed.first = tools::load_linear(shape.layers[0].read(memory), uncalibrated(r), {}, run);
    packed.takes_integers =
        o.activations == tools::activation_kind::i8 && packed.first->multiplies_integers();
    packed.name = tools::name_with_inputs(r.text, packed.takes_integers, 1);
    return packed;
}

// Of a product; the losses of the layer that loses most.
candidate as_candidate(const packed_shape& packed, const layer_shape& shape, std::size_t tokens) {
    const auto& report = packed.first->report();
    std::size_t n_weights = 1;
    for (const std::size_t extent : shape.extents) n_weights *= extent;
    candidate c{.bytes = report.bytes};
    c.multiply_adds = static_cast<std::uint64_t>(
        std::llround((1.0 - report.sparsity) * static_cast<double>(n_weights * tokens)));
    for (const compressor::measured& is : packed.of_layers) {
        c.retained = std::min(c.retained, is.report.retained);
        c.error = std::max(c.error, is.error);
    }
    return c;
}

// So many that a turn takes half a millisecond, and whole passes over the copies.
pare::tune::schedule schedule_for(std::size_t n_copies, std::size_t rounds, const auto& run) {
    const pare::tune::steady_seconds now;
    const double before = now();
    for (std::size_t copy = 0; copy < n_copies; ++copy) run(0, copy);
    const double pass = std::max(now() - before, 1e-7);
    const auto passes = static_cast<std::size_t>(std::ceil(5e-4 / pass));
    return {.rounds = rounds,
            .runs = n_copies * std::max<std::size_t>(passes, 1),
            .warm_up = n_copies,
            .copies = n_copies};
}

}  // namespace

tuned measure_losses(layer_shape shape, const options& o, const compressor::calibration& inputs,
                     pare::thread_pool& run) {
    tuned t{.shape = std::move(shape), .packed = {}, .refused = {}, .times = {}, .of_layers = {}};
    for (const tools::recipe& r : o.recipes) try {
            t.packed.push_back(pack(t.shape, r, o, inputs, run));
        } catch (const tools::failure& e) {
            if (t.packed.empty()) throw;  // dense
            t.refused.push_back(e.what());
        }
    return t;
}

timed time_products(const tuned& t, const std::vector<std::size_t>& which, const setting& in,
                    const options& o, std::size_t model_bytes, machine& here) {
    constexpr std::size_t most_by_default = std::size_t{1} << 27;
    timed measured{in, {}, {}};
    for (const std::size_t i : which)
        measured.field.push_back(as_candidate(t.packed[i], t.shape, in.tokens));
    const std::size_t memory = o.memory.value_or(std::min(model_bytes, most_by_default));
    const std::size_t n_copies = std::max<std::size_t>(memory / measured.field[0].bytes, 1);
    std::vector<copies> products;
    for (const std::size_t i : which) products.emplace_back(*t.packed[i].first, n_copies);

    activations between(t.shape.extents, in.tokens, o.activations);
    pare::thread_pool threads(in.threads);
    const auto run = [&](std::size_t i, std::size_t copy) {
        between.run(products[i][copy], threads);
    };
    for (std::size_t i = 0; i < which.size(); ++i) run(i, 0);  // what a race cannot: throw
    const pare::tune::schedule s = schedule_for(n_copies, o.rounds, run);
    std::vector<double> scratch(race_scratch(which.size(), s));
    tools::value_of(pare::tune::race(measured.field, s, scratch, run, stopwatch{in.threads}),
                    "timing");
    measured.chosen = tools::value_of(choose(measured.field, o.wanted), "timing");
    for (std::size_t i = 0; i < which.size(); ++i) {
        const candidate& c = measured.field[i];
        const auto most =
            here.ceilings(in.threads, c.bytes * n_copies, t.packed[which[i]].takes_integers);
        measured.roofs.push_back(pare::tune::roofline::of(c, between.bytes(), most));
    }
    return measured;
}

void choose_for_layers(tuned& t, const pare::tune::demand& wanted) {
    std::vector<candidate> field(t.packed.size());
    for (std::size_t i = 0; i < field.size(); ++i) {
        double logarithm = 0.0;
        field[i].least_speedup = t.times[0].field[i].least_speedup;
        for (const timed& time : t.times) {
            const candidate& c = time.field[i];
            logarithm += std::log(c.speedup) / static_cast<double>(t.times.size());
            field[i].least_speedup = std::min(field[i].least_speedup, c.least_speedup);
        }
        field[i].speedup = std::exp(logarithm);
        field[i].bytes = t.times[0].field[i].bytes;
    }
    for (std::size_t l = 0; l < t.shape.layers.size(); ++l) {
        for (std::size_t i = 0; i < field.size(); ++i) {
            field[i].retained = t.packed[i].of_layers[l].report.retained;
            field[i].error = t.packed[i].of_layers[l].error;
        }
        t.of_layers.push_back(tools::value_of(choose(field, wanted), "timing"));
    }
}

}  // namespace tuner
