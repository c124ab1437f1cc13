// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "report.hpp"

#include "common/model_report.hpp"
#include "common/report.hpp"
#include "common/terminal.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <map>
#include <vector>

namespace tuner {

namespace {

using nlohmann::ordered_json;
using pare::tune::bound, pare::tune::candidate, pare::tune::verdict;
using tools::fixed, tools::percent;

std::string count(std::size_t n, const char* what) {
    return std::to_string(n) + ' ' + what + (n == 1 ? "" : "s");
}
std::string times(double ratio) { return fixed(ratio, 2) + "x"; }

const char* in_words(verdict is) {
    switch (is) {
        case verdict::chosen:
            return "fastest";
        case verdict::not_faster:
            return "not faster";
        case verdict::too_lossy:
            return "loses too much";
        case verdict::slower:
        case verdict::untried:
            break;
    }
    return "";
}
const char* in_words(bound is) {
    return is == bound::memory ? "bytes" : is == bound::arithmetic ? "multiply-adds" : "neither";
}

// What takes part in a product but is no weight: indices, scales, padding.
double other_bits_per_kept_weight(const tuned& t, std::size_t i) {
    const auto bits_of = [](const tools::recipe& r, double stored) {
        switch (r.codec) {
            case tools::codec_kind::stored:
                return stored;
            case tools::codec_kind::f32:
                return 32.0;
            case tools::codec_kind::f16:
            case tools::codec_kind::bf16:
                return 16.0;
            case tools::codec_kind::i4:
            case tools::codec_kind::nf4:
                return 4.0;
            case tools::codec_kind::i2:
                return 2.0;
            default:
                return 8.0;
        }
    };
    const auto& report = t.packed[i].first->report();
    const double bits = bits_of(*t.packed[i].recipe, t.shape.dtype == "F32" ? 32.0 : 16.0);
    return report.bits_per_weight / (1.0 - report.sparsity) - bits;
}

}  // namespace

std::string in_words(const layer_shape& shape) {
    return tools::in_words(shape.extents) + ' ' + shape.dtype + ", " +
           count(shape.layers.size(), "layer");
}

std::string in_words(const setting& in) {
    return count(in.tokens, "token") + ", " + count(in.threads, "thread");
}

// Of dense, and of the chosen one or the best of the others.
std::string why(const tuned& t, const timed& in) {
    const auto limit_of = [&](std::size_t i) {
        const candidate& c = in.field[i];
        const double share = in.roofs[i].seconds() / c.seconds;
        switch (in.roofs[i].bound_of(c)) {
            case bound::memory:
                return "bound by its bytes (reading them alone takes " + percent(share) +
                       " of its time)";
            case bound::arithmetic:
                return "bound by its multiply-adds (they alone take " + percent(share) +
                       " of its time)";
            case bound::neither:
                break;
        }
        return "bound by neither bytes nor multiply-adds, which alone take " + percent(share) +
               " of its time: calls, threads, conversions and, if any, indices do the rest";
    };
    std::string words = "why: dense is " + limit_of(0) + ".\n     ";
    std::size_t best = in.chosen;
    if (best == 0)
        for (std::size_t i = 1; i < in.field.size(); ++i)
            if (in.field[i].outcome == verdict::not_faster &&
                (best == 0 || in.field[i].speedup > in.field[best].speedup))
                best = i;
    if (best == 0) return words + "No recipe loses little enough.\n";
    const candidate &dense = in.field[0], &c = in.field[best];
    words += in.chosen == 0 ? "Nothing pays: of what loses little enough " : "";
    words +=
        t.packed[best].name + " is " + times(c.speedup) + " as fast, with " +
        times(static_cast<double>(c.bytes) / static_cast<double>(dense.bytes)) + " the bytes (" +
        fixed(other_bits_per_kept_weight(t, best), 2) +
        " bits of index, scales and padding per weight kept) and " +
        times(static_cast<double>(c.multiply_adds) / static_cast<double>(dense.multiply_adds)) +
        " the multiply-adds; it is " + limit_of(best) + ".\n";
    return words;
}

tools::cells table_cells(const tuned& t, const timed& in) {
    std::vector<std::vector<std::string>> cells{{"recipe", "bytes", "saliency", "error", "us",
                                                 "speed", "quartile", "of roof", "bound by", ""}};
    for (std::size_t i = 0; i < in.field.size(); ++i) {
        const candidate& c = in.field[i];
        cells.push_back(
            {t.packed[i].name,
             fixed(static_cast<double>(c.bytes) / static_cast<double>(in.field[0].bytes), 3),
             percent(c.retained), fixed(c.error, 5), fixed(1e6 * c.seconds, 2), times(c.speedup),
             times(c.least_speedup), percent(in.roofs[i].seconds() / c.seconds),
             in_words(in.roofs[i].bound_of(c)), in_words(c.outcome)});
    }
    return cells;
}

std::string describe(const tuned& t, const timed& in) {
    return in_words(t.shape) + ", " + in_words(in.in) + '\n' +
           tools::format_table(table_cells(t, in)) + why(t, in);
}

std::string describe_choice(const tuned& t) {
    std::map<std::size_t, std::size_t> n_layers;
    for (const std::size_t i : t.of_layers) ++n_layers[i];
    std::string words;
    for (const auto& [i, n] : n_layers)
        words.append(words.empty() ? "" : ", ")
            .append(t.packed[i].name)
            .append(" for ")
            .append(count(n, "layer"));
    std::string lines = in_words(t.shape) + ": " + words + '\n';
    for (const std::string& reason : t.refused) lines += "not tried: " + reason + '\n';
    return lines;
}

void write_plan(std::span<const tuned> all, const options& o) {
    ordered_json plan{{"recipe", "dense"}, {"layers", ordered_json::array()}};
    bool needs_calibration = false;
    for (const tuned& t : all)
        for (std::size_t l = 0; l < t.of_layers.size(); ++l) {
            const tools::recipe& r = *t.packed[t.of_layers[l]].recipe;
            if (tools::is_dense_as_stored(r)) continue;
            plan["layers"].push_back({{"names", t.shape.layers[l].name()}, {"recipe", r.text}});
            needs_calibration = needs_calibration || tools::needs_calibration(r);
        }
    if (plan["layers"].empty()) std::puts("nothing pays: the plan leaves all layers dense");
    namespace fs = std::filesystem;
    if (needs_calibration)
        plan["calibration"] =
            fs::proximate(o.calibration, fs::absolute(o.plan).parent_path()).string();
    tools::write_json(o.plan, plan);
}

void write_measurements(std::span<const tuned> all, const std::string& file) {
    ordered_json shapes = ordered_json::array();
    for (const tuned& t : all) {
        ordered_json settings = ordered_json::array(), layers = ordered_json::array();
        for (const timed& in : t.times) {
            ordered_json field = ordered_json::array();
            for (std::size_t i = 0; i < in.field.size(); ++i) {
                const candidate& c = in.field[i];
                field.push_back({{"recipe", t.packed[i].recipe->text},
                                 {"activations", t.packed[i].takes_integers ? "i8" : "f32"},
                                 {"bytes", c.bytes},
                                 {"multiply_adds", c.multiply_adds},
                                 {"retained_saliency", c.retained},
                                 {"error", c.error},
                                 {"seconds", c.seconds},
                                 {"speedup", c.speedup},
                                 {"speedup_quartile", c.least_speedup},
                                 {"seconds_of_bytes", in.roofs[i].memory},
                                 {"seconds_of_multiply_adds", in.roofs[i].arithmetic},
                                 {"fastest", c.outcome == verdict::chosen}});
            }
            settings.push_back({{"tokens", in.in.tokens},
                                {"threads", in.in.threads},
                                {"field", std::move(field)}});
        }
        for (std::size_t l = 0; l < t.of_layers.size(); ++l)
            layers.push_back({{"name", t.shape.layers[l].name()},
                              {"recipe", t.packed[t.of_layers[l]].recipe->text}});
        shapes.push_back({{"shape", t.shape.extents},
                          {"dtype", t.shape.dtype},
                          {"settings", std::move(settings)},
                          {"layers", std::move(layers)}});
    }
    tools::write_json(file, shapes);
}

}  // namespace tuner
