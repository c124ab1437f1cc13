// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "times.hpp"

#include "common/error.hpp"
#include "common/grammar.hpp"
#include "common/model_report.hpp"

#include <nlohmann/json.hpp>
#include <fstream>
#include <set>
#include <vector>

namespace compressor {

namespace {

using nlohmann::json;

// The parts of a recipe that make its time, in one order.
std::string timed_part_of(std::string_view recipe) {
    const std::set<std::string_view> untimed{"magnitude", "wanda", "optimal_brain",
                                             "gptq",      "mse",   "percentile"};
    std::set<std::string_view> timed;
    for (const std::string_view part : tools::split(recipe, '+'))
        if (!untimed.contains(tools::split(part, ':')[0])) timed.insert(part);
    if (timed.size() > 1) timed.erase("dense");  // "dense+i8" is "i8"
    std::string words;
    for (const std::string_view part : timed) words.append(words.empty() ? "" : "+").append(part);
    return words;
}

std::string in_words(std::span<const std::size_t> extents, std::string_view dtype) {
    return tools::in_words(extents).append(" ").append(dtype);
}

std::string in_words(const tensor& layer) {
    return in_words(layer.shape(), describe(layer.type()).name);
}

}  // namespace

times::times(const timed_setting& in) : file_(in.file) {
    std::ifstream from(file_);
    if (!from) throw tools::failure(file_ + ": it cannot be opened");
    const json shapes = json::parse(from, nullptr, false);
    try {
        for (const json& shape : shapes) {
            const auto words = in_words(shape.at("shape").get<std::vector<std::size_t>>(),
                                        shape.at("dtype").get<std::string>());
            const json* found = nullptr;
            for (const json& setting : shape.at("settings")) {
                if (setting.at("tokens") != in.tokens.value_or(setting.at("tokens")) ||
                    setting.at("threads") != in.threads.value_or(setting.at("threads")))
                    continue;
                if (found != nullptr)
                    throw tools::failure(file_ +
                                         ": it has several settings; 'tokens' and "
                                         "'threads' of the budget name one");
                found = &setting;
            }
            if (found == nullptr) throw tools::failure(file_ + ": it has no such setting");
            for (const json& candidate : found->at("field")) {
                const std::string recipe = timed_part_of(candidate.at("recipe").get<std::string>());
                const double seconds = candidate.at("seconds").get<double>();
                if (!(seconds > 0.0 && seconds <= longest_time))
                    throw tools::failure(file_ + ": a time that is not above 0 and up to 1000 s");
                all_[{words, recipe}] = {seconds, candidate.value("activations", "f32") != "f32"};
            }
        }
    } catch (const json::exception&) {
        throw tools::failure(file_ + ": it is not what pare_tune --json writes");
    }
}

const times::timed& times::find(const tensor& layer, const tools::recipe& r) const {
    const auto at = all_.find({in_words(layer), timed_part_of(r.text)});
    if (at == all_.end())
        throw tools::failure(file_ + ": no time of " + in_words(layer) + " by '" + r.text + "'");
    return at->second;
}

}  // namespace compressor
