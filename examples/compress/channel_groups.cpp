// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "channel_groups.hpp"

#include "common/error.hpp"

#include <algorithm>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

namespace compressor {

namespace {

constexpr std::string_view suffix = ".weight";

std::string_view without_suffix(std::string_view name) {
    return name.ends_with(suffix) ? name.substr(0, name.size() - suffix.size()) : name;
}

/// A name before and behind its *, if it has one.
struct name_pattern {
    explicit name_pattern(std::string_view text)
        : before(text.substr(0, text.find('*'))),
          behind(before.size() < text.size() ? text.substr(before.size() + 1) : ""),
          has_star(before.size() < text.size()) {}

    /// What * stands for; at the end it does for names of weights, without .weight.
    std::optional<std::string_view> star_of(std::string_view name) const {
        if (has_star && behind.empty() && !name.ends_with(suffix)) return std::nullopt;
        for (const std::string_view n : {without_suffix(name), name})
            if (n.size() >= before.size() + behind.size() && n.starts_with(before) &&
                n.ends_with(behind) && (has_star || n.size() == before.size() + behind.size()))
                return n.substr(before.size(), n.size() - before.size() - behind.size());
        return std::nullopt;
    }

    std::string_view before, behind;
    bool has_star;
};

/// The groups of one choice.
class group_finder {
  public:
    group_finder(std::span<const tensor> tensors, const channel_choice& by)
        : tensors_(tensors), by_(by) {}

    std::vector<channel_group> find() const {
        std::set<std::string_view> stars;
        for_each_fitting(by_.writers[0], [&](std::size_t, std::string_view s) { stars.insert(s); });
        if (stars.empty()) refuse("no tensor's name fits '" + by_.writers[0] + "'");
        std::vector<channel_group> groups;
        for (const std::string_view star : stars) groups.push_back(group_of(star));
        for (const auto* const names : {&by_.writers, &by_.between, &by_.readers})
            for (const std::string& name : *names)
                for_each_fitting(name, [&](std::size_t i, std::string_view star) {
                    if (!stars.contains(star))
                        refuse("there is a '" + std::string(tensors_[i].name()) + "', but no '" +
                               by_.writers[0] + "' of that *");
                });
        return groups;
    }

  private:
    [[noreturn]] void refuse(const std::string& why) const {
        throw tools::usage_error(by_.words + ": " + why);
    }
    [[noreturn]] void refuse(std::size_t i, const std::string& why) const {
        refuse("tensor '" + std::string(tensors_[i].name()) + "' " + why);
    }

    void for_each_fitting(std::string_view pattern, auto&& use) const {
        const name_pattern name(pattern);
        for (std::size_t i = 0; i < tensors_.size(); ++i)
            if (const auto star = name.star_of(tensors_[i].name())) use(i, *star);
    }

    std::vector<std::size_t> places_of(const std::vector<std::string>& names,
                                       std::string_view star) const {
        std::vector<std::size_t> places;
        for (const std::string& name : names) {
            const std::size_t before = places.size();
            for_each_fitting(name, [&](std::size_t i, std::string_view s) {
                if (s == star) places.push_back(i);
            });
            const std::string where = star.empty() ? "" : " where * is '" + std::string(star) + "'";
            if (places.size() == before) refuse("no tensor's name fits '" + name + "'" + where);
            if (places.size() > before + 1) refuse("'" + name + "' names two tensors" + where);
        }
        return places;
    }

    channel_group group_of(std::string_view star) const {
        channel_group g{&by_, places_of(by_.writers, star), places_of(by_.between, star),
                        places_of(by_.readers, star), 0};
        add_biases(g);
        check(g);
        return g;
    }

    void add_biases(channel_group& g) const {
        for (const std::size_t w : g.writers) {
            const std::string bias = std::string(without_suffix(tensors_[w].name())) + ".bias";
            const auto found = std::ranges::find(tensors_, bias, &tensor::name);
            const auto i = static_cast<std::size_t>(found - tensors_.begin());
            if (i < tensors_.size() && std::ranges::find(g.between, i) == g.between.end())
                g.between.push_back(i);
        }
    }

    void check(channel_group& g) const {
        for (const auto* const places : {&g.writers, &g.readers})
            for (const std::size_t i : *places)
                if (!is_matrix(tensors_[i])) refuse(i, "is no matrix of floats");
        g.n_channels = tensors_[g.writers[0]].shape()[0];
        const std::string n = std::to_string(g.n_channels) + " channels of '" +
                              std::string(tensors_[g.writers[0]].name()) + "'";
        for (const auto* const places : {&g.writers, &g.between})
            for (const std::size_t i : *places) {
                const auto shape = tensors_[i].shape();
                if (shape.empty() || shape[0] != g.n_channels)
                    refuse(i, "has no row for each of the " + n);
            }
        for (const std::size_t i : g.readers) {
            const auto shape = tensors_[i].shape();
            if (shape.size() == 2 ? shape[1] % g.n_channels != 0 : shape[1] != g.n_channels)
                refuse(i, "does not read the " + n);
        }
    }

    std::span<const tensor> tensors_;
    const channel_choice& by_;
};

}  // namespace

std::vector<channel_group> find_groups(std::span<const tensor> tensors,
                                       std::span<const channel_choice> chosen) {
    std::vector<channel_group> groups;
    for (const channel_choice& choice : chosen)
        for (channel_group& g : group_finder(tensors, choice).find()) {
            std::erase_if(groups, [&](const channel_group& other) {
                return std::ranges::is_permutation(g.writers, other.writers) &&
                       std::ranges::is_permutation(g.readers, other.readers);
            });
            groups.push_back(std::move(g));
        }
    std::set<std::size_t> with_rows, with_columns;
    for (const channel_group& g : groups) {
        const auto add = [&](const std::vector<std::size_t>& places, auto& to, const char* what) {
            for (const std::size_t i : places)
                if (!to.insert(i).second)
                    throw tools::usage_error(g.by->words + ": tensor '" +
                                             std::string(tensors[i].name()) + "' would lose " +
                                             what + " twice");
        };
        add(g.writers, with_rows, "rows");
        add(g.between, with_rows, "rows");
        add(g.readers, with_columns, "columns");
    }
    return groups;
}

}  // namespace compressor
