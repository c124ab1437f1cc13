// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "html.hpp"

#include "chart.hpp"
#include "grammar.hpp"
#include "markup.hpp"

namespace tools::html {

namespace {

constexpr std::string_view page_style = R"(body { font: 15px/1.5 system-ui, sans-serif;
  color: var(--text); background: var(--ground); max-width: 66rem; margin: 2rem auto;
  padding: 0 1rem; overflow-wrap: anywhere }
h1, h2 { line-height: 1.25 }
figure { margin: 1.5rem 0 }
figcaption { font-size: .9rem }
svg { width: 100%; max-width: 31rem; height: auto; display: block }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr));
  gap: 0 2rem }
.maps { display: grid; grid-template-columns: repeat(auto-fill, minmax(17rem, 1fr)); gap: 1rem }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; white-space: nowrap }
th, td { padding: .15rem .5rem; text-align: right; border-bottom: 1px solid var(--faint) }
ul { padding-left: 1.2rem }
.left { text-align: left }
.scroll { overflow-x: auto; margin: 1rem 0 }
summary { cursor: pointer }
)";

std::string element(std::string_view name, std::string_view content) {
    return join({"<", name, ">", content, "</", name, ">\n"});
}

}  // namespace

std::string page(std::string_view title, std::string_view content) {
    const std::string name = escape(title);
    return join(
        {"<!DOCTYPE html>\n<html lang='en'>\n<head>\n<meta charset='utf-8'>\n"
         "<meta name='viewport' content='width=device-width'>\n",
         element("title", name), "<style>", svg_style, page_style, "</style>\n</head>\n<body>\n",
         element("h1", name), content, "</body>\n</html>\n"});
}

std::string paragraph(std::string_view text) { return element("p", escape(text)); }

std::string list(std::string_view lines) {
    std::string items;
    for (const std::string_view line : split(lines, '\n'))
        if (!line.empty()) items += element("li", escape(line));
    return items.empty() ? "" : element("ul", items);
}

std::string section(std::string_view heading, std::string_view content) {
    return element("section", element("h2", escape(heading)) + std::string(content));
}

std::string figure(std::string_view content, std::string_view caption) {
    if (content.empty()) return "";
    return element("figure", std::string(content) + element("figcaption", escape(caption)));
}

std::string grid(std::string_view content) {
    if (content.empty()) return "";
    return join({"<div class='grid'>\n", content, "</div>\n"});
}

std::string table(const cells& rows, std::size_t n_flush_left) {
    std::string text = "<div class='scroll' tabindex='0'><table>\n";
    std::string_view kind = "th";
    for (const auto& row : rows) {
        text += "<tr>";
        for (std::size_t i = 0; i < row.size(); ++i)
            text += join({"<", kind, i < n_flush_left ? " class='left'>" : ">", escape(row[i]),
                          "</", kind, ">"});
        text += "</tr>\n";
        kind = "td";
    }
    return text + "</table></div>\n";
}

std::string folded(std::string_view summary, std::string_view content) {
    return element("details", element("summary", escape(summary)) + std::string(content));
}

}  // namespace tools::html
