// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "recipe_file.hpp"

#include "common/error.hpp"
#include "common/linear.hpp"

#include <nlohmann/json.hpp>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <vector>

namespace compressor {

namespace {

using nlohmann::json;

/// A value and where it is: file: layers[1].recipe
struct place {
    const json& value;
    std::string words;
    const char* separator = ": ";  // from the words to a key

    [[noreturn]] void refuse(const std::string& why) const {
        throw tools::usage_error(words + ": " + why);
    }
    std::string text() const {
        if (!value.is_string() || value.get_ref<const std::string&>().empty()) refuse("not a text");
        return value.get<std::string>();
    }
    void for_each_element(auto&& use) const {
        if (!value.is_array()) refuse("not a list");
        for (std::size_t i = 0; i < value.size(); ++i)
            use(place{value[i], words + '[' + std::to_string(i) + ']', "."});
    }
    /// use(key, place) returns whether there is such a key.
    void for_each_member(auto&& use) const {
        if (!value.is_object()) refuse("not an object");
        for (const auto& [key, member] : value.items())
            if (!use(key, place{member, words + separator + key, "."}))
                refuse("there is no key '" + key + "'");
    }
};

// nlohmann's parser takes the last of two keys alike.
json parse(const std::string& text, const std::string& file) {
    std::vector<std::set<std::string>> keys;  // of the objects that are open
    const auto check = [&](int, json::parse_event_t event, const json& parsed) {
        if (event == json::parse_event_t::object_start) keys.emplace_back();
        if (event == json::parse_event_t::object_end) keys.pop_back();
        if (event == json::parse_event_t::key && !keys.back().insert(parsed).second)
            throw tools::usage_error(file + ": key '" + parsed.get<std::string>() +
                                     "' occurs twice in an object");
        return true;
    };
    try {
        return json::parse(text, check);
    } catch (const json::parse_error& e) {
        const std::string why = e.what();  // "[json.exception...] parse error at line 1, ..."
        throw tools::usage_error(file + ": " + why.substr(why.find("] ") + 2));
    }
}

candidates read_recipes(const place& at) {
    candidates recipes;
    const auto read = [&](const place& one) {
        const std::string text = one.text();
        try {
            recipes.push_back(read_recipe(text));
        } catch (const tools::usage_error& e) {
            one.refuse(e.what());
        }
    };
    if (at.value.is_array()) at.for_each_element(read);
    else read(at);
    if (recipes.empty()) at.refuse("an empty list");
    return recipes;
}

layer_choice read_layer(const place& at) {
    layer_choice choice;
    at.for_each_member([&](const std::string& key, const place& member) {
        if (key == "names") choice.pattern = member.text();
        else if (key == "recipe") choice.recipes = read_recipes(member);
        else return false;
        return true;
    });
    if (choice.pattern.empty()) at.refuse("the key 'names' is missing");
    if (choice.recipes.empty()) at.refuse("the key 'recipe' is missing");
    return choice;
}

budget read_budget(const place& at) {
    budget within;
    at.for_each_member([&](const std::string& key, const place& member) {
        if (key == "bytes") {
            if (!member.value.is_number_unsigned()) member.refuse("not a whole number");
            within.bytes = member.value.get<std::uint64_t>();
        } else if (key == "bits_per_weight") {
            const bool fits = member.value.is_number();
            const double bits = fits ? member.value.get<double>() : 0.0;
            if (bits <= 0.0 || bits > 64.0) member.refuse("not a number above 0 and up to 64");
            within.bits_per_weight = bits;
        } else return false;
        return true;
    });
    if (within.bytes.has_value() == within.bits_per_weight.has_value())
        at.refuse("it takes one of the keys 'bytes' and 'bits_per_weight'");
    return within;
}

}  // namespace

tools::recipe read_recipe(std::string_view text) {
    tools::recipe r = tools::parse_recipe(text);
    tools::check_compiled(r);
    return r;
}

choices read_recipe_file(const std::string& file) {
    std::ifstream in(file);
    if (!in) throw tools::failure(file + ": it cannot be opened");
    const json content = parse(std::string(std::istreambuf_iterator<char>(in), {}), file);
    choices chosen;
    const place all{content, file};
    all.for_each_member([&](const std::string& key, const place& member) {
        if (key == "recipe") {
            chosen.by_default = read_recipes(member);
        } else if (key == "layers") {
            member.for_each_element(
                [&](const place& one) { chosen.layers.push_back(read_layer(one)); });
        } else if (key == "keep_dense") {
            member.for_each_element(
                [&](const place& one) { chosen.keep_dense.push_back(one.text()); });
        } else if (key == "calibration") {
            chosen.calibration = std::filesystem::path(file).parent_path() / member.text();
        } else if (key == "budget") {
            chosen.within = read_budget(member);
        } else return false;
        return true;
    });
    return chosen;
}

}  // namespace compressor
