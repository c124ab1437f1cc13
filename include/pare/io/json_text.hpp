// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_IO_JSON_TEXT_HPP
#define PARE_IO_JSON_TEXT_HPP

#include "list.hpp"
#include "utf8.hpp"

#include <cstddef>
#include <string_view>

namespace pare::io::inline PARE_ARCH_NAMESPACE {

/// JSON being written, piece by piece; the caller places the brackets and commas. The first failure
/// (out_of_memory, or invalid_argument for a string that is not UTF-8) stays.
class json_text {
  public:
    const status& outcome() const noexcept { return outcome_; }
    std::string_view view() const noexcept { return {text_.span().data(), text_.size()}; }

    /// Text that is JSON already.
    json_text& raw(std::string_view text) noexcept {
        if (outcome_) outcome_ = text_.append(text);
        return *this;
    }
    /// A string, quoted and escaped.
    json_text& string(std::string_view text) noexcept;
    json_text& number(std::size_t value) noexcept;

  private:
    list<char> text_;
    status outcome_;
};

inline json_text& json_text::string(std::string_view text) noexcept {
    if (outcome_ && !is_utf8(text))
        outcome_ = error{errc::invalid_argument, "a name or a metadata text is not UTF-8"};
    raw("\"");
    for (const char& c : text) {
        const auto code = static_cast<unsigned char>(c);
        if (c == '"' || c == '\\') raw("\\");
        if (code < 0x20)
            raw(code < 0x10 ? "\\u000" : "\\u001").raw({&"0123456789abcdef"[code % 16], 1});
        else raw({&c, 1});
    }
    return raw("\"");
}

inline json_text& json_text::number(std::size_t value) noexcept {
    char digits[20];
    std::size_t begin = sizeof(digits);
    do digits[--begin] = static_cast<char>('0' + value % 10);
    while ((value /= 10) != 0);
    return raw({digits + begin, sizeof(digits) - begin});
}

}  // namespace pare::io::inline PARE_ARCH_NAMESPACE

#endif  // PARE_IO_JSON_TEXT_HPP
