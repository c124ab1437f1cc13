// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "terminal.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <utility>

namespace tools {

namespace {

bool is_set(const char* variable) {
    const char* const value = std::getenv(variable);
    return value != nullptr && *value != '\0';
}

bool stderr_draws() {
    const char* const term = std::getenv("TERM");
    return ::isatty(STDERR_FILENO) == 1 && term != nullptr && std::string_view(term) != "dumb";
}

}  // namespace

progress::progress(std::string label, std::size_t total)
    : label_(std::move(label)), total_(total), shown_(stderr_draws()) {
    if (shown_) draw();
}

progress::~progress() {
    if (shown_) std::fputs("\r\x1b[K", stderr);
}

void progress::advance(std::size_t steps) {
    done_ = std::min(total_, done_ + steps);
    const auto now = std::chrono::steady_clock::now();
    if (!shown_ || now < next_draw_) return;
    next_draw_ = now + std::chrono::milliseconds(50);
    draw();
}

void progress::draw() const {
    constexpr std::size_t width = 30;
    const std::size_t filled = total_ == 0 ? width : done_ * width / total_;
    const std::size_t percent = total_ == 0 ? 100 : done_ * 100 / total_;
    const bool colour = !is_set("NO_COLOR");
    std::fprintf(stderr, "\r%s[%s%s%s] %3zu %% %s\x1b[K", colour ? "\x1b[36m" : "",
                 std::string(filled, '#').c_str(), std::string(width - filled, '-').c_str(),
                 colour ? "\x1b[0m" : "", percent, label_.c_str());
    std::fflush(stderr);
}

std::string format_table(const cells& rows) {
    std::vector<std::size_t> widths;
    for (const auto& row : rows) {
        widths.resize(std::max(widths.size(), row.size()));
        for (std::size_t c = 0; c < row.size(); ++c) widths[c] = std::max(widths[c], row[c].size());
    }
    std::string text;
    for (const auto& row : rows) {
        std::string line;
        for (std::size_t c = 0; c < row.size(); ++c) {
            const std::string padding(widths[c] - row[c].size(), ' ');
            line += c == 0 ? row[c] + padding : "  " + padding + row[c];
        }
        text += line.erase(line.find_last_not_of(' ') + 1) + '\n';
    }
    return text;
}

std::string fixed(double number, int decimals) {
    char text[64];
    std::snprintf(text, sizeof(text), "%.*f", decimals, number);
    return text;
}

std::string percent(double share) { return fixed(100 * share, 1) + " %"; }

}  // namespace tools
