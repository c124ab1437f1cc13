// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "common/html.hpp"

#include "common/model_report.hpp"
#include "report.hpp"

#include <vector>

namespace tuner {

namespace {

// Dense, which loses nothing, is left out.
std::string losses(const tuned& t, const timed& in) {
    std::vector<tools::trade> trades;
    for (std::size_t i = 1; i < in.field.size(); ++i)
        trades.push_back({t.packed[i].name, 1e6 * in.field[i].seconds, in.field[i].error,
                          method_of(*t.packed[i].recipe, t.packed[i].first->report().sparsity)});
    const tools::axis time{.name = "microseconds", .from_zero = true};
    const tools::axis error{
        .name = "error of the output", .scale = tools::scale::decades, .least = 1e-6};
    return front_figure(trades, time, error, false,
                        "|difference|^2 / |output|^2 over the time of a product, " +
                            tools::fixed(1e6 * in.field[0].seconds, 2) +
                            " microseconds dense: lower is better.");
}

}  // namespace

std::string html(const std::string& title, std::span<const tuned> all) {
    using namespace tools::html;
    std::string plan, content;
    for (const tuned& t : all) {
        plan += describe_choice(t);
        for (const timed& in : t.times)
            content += section(
                in_words(t.shape) + ", " + in_words(in.in),
                losses(t, in) + tools::html::table(table_cells(t, in)) + paragraph(why(t, in)));
    }
    return page(title + " - pare_tune", section("The plan", list(plan)) + content);
}

}  // namespace tuner
