// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "recipe_file.hpp"

#include "common/error.hpp"
#include "common/linear.hpp"

#include <nlohmann/json.hpp>
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>
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

void read_names(const place& at, std::vector<std::string>& names, bool& any_star, bool& any_plain) {
    at.for_each_element([&](const place& one) {
        const std::string name = one.text();
        const auto n_stars = std::ranges::count(name, '*');
        if (n_stars > 1) one.refuse("more than one *");
        (n_stars == 1 ? any_star : any_plain) = true;
        names.push_back(name);
    });
}

// What leaves, and how it is made up for.
tools::recipe read_channel_recipe(const place& at) {
    using enum tools::criterion_kind;
    tools::recipe r;
    try {
        r = tools::parse_recipe(at.text());
    } catch (const tools::usage_error& e) {
        at.refuse(e.what());
    }
    if (!is_dense_as_stored(without_channels(r)))
        at.refuse("what is done to the weights that are left is said in 'recipe' and 'layers'");
    if (!r.channels) return r;
    const auto criterion = r.channels->criterion;
    if (criterion != l1 && criterion != l2 && criterion != geometric_median &&
        criterion != activation)
        at.refuse("criteria here are l1, l2, geometric_median and activation");
    const auto scope = r.channels->scope;
    if (scope != tools::scope_kind::layer && scope != tools::scope_kind::global)
        at.refuse("scopes here are layer and global");
    return r;
}

channel_choice read_channels(const place& at) {
    channel_choice choice;
    choice.words = at.words;
    bool any_star = false, any_plain = false, any_recipe = false;
    at.for_each_member([&](const std::string& key, const place& member) {
        const auto read = [&](auto& names) { read_names(member, names, any_star, any_plain); };
        if (key == "writers") read(choice.writers);
        else if (key == "between") read(choice.between);
        else if (key == "readers") read(choice.readers);
        else if (key == "recipe") {
            choice.recipe = read_channel_recipe(member);
            any_recipe = true;
        } else return false;
        return true;
    });
    if (choice.writers.empty()) at.refuse("the key 'writers' is missing");
    if (choice.readers.empty()) at.refuse("the key 'readers' is missing");
    if (!any_recipe) at.refuse("the key 'recipe' is missing");
    if (any_star && any_plain) at.refuse("some names have a * and some have none");
    return choice;
}

double read_positive(const place& at, double most) {
    const bool fits = at.value.is_number();
    const double number = fits ? at.value.get<double>() : 0.0;
    if (number <= 0.0 || number > most) {
        std::ostringstream words;
        words << "not a number above 0 and up to " << most;
        at.refuse(words.str());
    }
    return number;
}

std::uint64_t read_whole(const place& at) {
    if (!at.value.is_number_unsigned()) at.refuse("not a whole number");
    return at.value.get<std::uint64_t>();
}

budget read_budget(const place& at, const std::filesystem::path& folder) {
    budget within;
    at.for_each_member([&](const std::string& key, const place& member) {
        if (key == "bytes") within.bytes = read_whole(member);
        else if (key == "bits_per_weight") within.bits_per_weight = read_positive(member, 64.0);
        else if (key == "speed") within.speed = read_positive(member, 1e6);
        else if (key == "times") within.times.file = folder / member.text();
        else if (key == "tokens") within.times.tokens = read_whole(member);
        else if (key == "threads") within.times.threads = read_whole(member);
        else return false;
        return true;
    });
    if (within.bytes.has_value() + within.bits_per_weight.has_value() + within.speed.has_value() !=
        1)
        at.refuse("it takes one of the keys 'bytes', 'bits_per_weight' and 'speed'");
    if (within.speed && within.times.file.empty())
        at.refuse("'speed' needs 'times', a file of pare_tune --json");
    if (!within.speed &&
        (!within.times.file.empty() || within.times.tokens || within.times.threads))
        at.refuse("'times', 'tokens' and 'threads' need 'speed'");
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
    const std::filesystem::path folder = std::filesystem::path(file).parent_path();
    choices chosen;
    const place all{content, file};
    all.for_each_member([&](const std::string& key, const place& member) {
        if (key == "recipe") {
            chosen.by_default = read_recipes(member);
        } else if (key == "layers") {
            member.for_each_element(
                [&](const place& one) { chosen.layers.push_back(read_layer(one)); });
        } else if (key == "channels") {
            member.for_each_element(
                [&](const place& one) { chosen.channels.push_back(read_channels(one)); });
        } else if (key == "keep_dense") {
            member.for_each_element(
                [&](const place& one) { chosen.keep_dense.push_back(one.text()); });
        } else if (key == "calibration") {
            chosen.calibration = folder / member.text();
        } else if (key == "budget") {
            chosen.within = read_budget(member, folder);
        } else return false;
        return true;
    });
    return chosen;
}

}  // namespace compressor
