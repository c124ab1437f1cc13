// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_IO_JSON_SCANNER_HPP
#define PARE_IO_JSON_SCANNER_HPP

#include "../core/buffer.hpp"
#include "utf8.hpp"

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

namespace pare::io::inline PARE_ARCH_NAMESPACE {

/// Reads the JSON that headers of tensor files are made of: objects, arrays, strings and unsigned
/// integers (RFC 8259, less the other values). The caller's grammar drives it, so the nesting is
/// bounded by that grammar. The first failure stays, as malformed_file with its byte position, and
/// moves to the end of the text: every later call then returns nothing and loops end.
class json_scanner {
  public:
    /// `first_byte` is the position of the text in its file.
    json_scanner(std::string_view text, std::size_t first_byte) noexcept
        : text_(text), first_byte_(first_byte) {}

    const status& outcome() const noexcept { return outcome_; }
    /// The byte of the file that is read next.
    std::size_t where() const noexcept { return first_byte_ + at_; }
    void fail(const char* message) noexcept { fail(message, where()); }
    void fail(const char* message, std::size_t where) noexcept {
        fail(error{errc::malformed_file, message, where});
    }
    void fail(const error& why) noexcept {
        if (outcome_) outcome_ = why;
        at_ = text_.size();
    }

    /// Calls on_member(key) at the value of each member; it must consume the value.
    template <class F>
    void object(F&& on_member) noexcept {
        expect('{', "an object is expected");
        if (take('}')) return;
        do {
            const std::string_view key = string();
            expect(':', "a colon is expected after a key");
            if (outcome_) on_member(key);
        } while (take(','));
        expect('}', "a comma or the end of an object is expected");
    }

    /// Calls on_element() at each element; it must consume it.
    template <class F>
    void array(F&& on_element) noexcept {
        expect('[', "an array is expected");
        if (take(']')) return;
        do {
            if (outcome_) on_element();
        } while (take(','));
        expect(']', "a comma or the end of an array is expected");
    }

    /// Whether the next value is a string.
    bool at_string() noexcept {
        skip_space();
        return peek() == '"';
    }
    /// A string with its escapes decoded; valid as long as the text and the memory of release().
    std::string_view string() noexcept;

    std::size_t unsigned_integer() noexcept;

    /// Fails unless only white space is left.
    void finish(const char* message) noexcept {
        skip_space();
        if (outcome_ && at_ != text_.size()) fail(message);
    }

    /// Hands over the memory of the strings that had escapes.
    buffer<char> release() noexcept { return std::move(decoded_); }

  private:
    char peek() const noexcept { return at_ < text_.size() ? text_[at_] : '\0'; }
    void skip_space() noexcept {
        while (peek() == ' ' || peek() == '\n' || peek() == '\r' || peek() == '\t') ++at_;
    }
    bool take(char c) noexcept {
        skip_space();
        if (peek() != c) return false;
        ++at_;
        return true;
    }
    void expect(char c, const char* message) noexcept {
        if (!take(c)) fail(message);
    }
    std::string_view decode(std::string_view raw) noexcept;
    std::uint32_t code_unit(std::string_view raw, std::size_t at) noexcept;

    std::string_view text_;
    std::size_t first_byte_;
    std::size_t at_ = 0;
    buffer<char> decoded_;
    std::size_t n_decoded_ = 0;
    status outcome_;
};

inline std::size_t json_scanner::unsigned_integer() noexcept {
    skip_space();
    const auto is_digit = [](char c) { return '0' <= c && c <= '9'; };
    if (!is_digit(peek())) return fail("an unsigned integer is expected"), std::size_t{0};
    const std::size_t begin = at_;
    std::size_t value = 0;
    for (; is_digit(peek()); ++at_) {
        const auto digit = static_cast<std::size_t>(peek() - '0');
        if (value > (static_cast<std::size_t>(-1) - digit) / 10)
            return fail("an integer is too large", first_byte_ + begin), std::size_t{0};
        value = 10 * value + digit;
    }
    if (text_[begin] == '0' && at_ - begin > 1)
        return fail("an integer has a leading zero", first_byte_ + begin), std::size_t{0};
    return value;
}

inline std::string_view json_scanner::string() noexcept {
    expect('"', "a string is expected");
    if (!outcome_) return {};
    const std::size_t begin = at_;
    bool escaped = false;
    while (at_ < text_.size() && peek() != '"') {
        if (static_cast<unsigned char>(peek()) < 0x20)
            return fail("a string holds a control character"), std::string_view{};
        const std::size_t n = peek() == '\\' ? 2 : utf8_length(text_.substr(at_));
        if (n == 0) return fail("a string is not UTF-8"), std::string_view{};
        escaped = escaped || peek() == '\\';
        at_ += n;
    }
    if (at_ >= text_.size()) {
        fail("a string does not end", first_byte_ + begin - 1);
        return {};
    }
    const std::string_view raw = text_.substr(begin, at_ - begin);
    ++at_;
    return escaped ? decode(raw) : raw;
}

/// The four hexadecimal digits after a \u.
inline std::uint32_t json_scanner::code_unit(std::string_view raw, std::size_t at) noexcept {
    std::uint32_t unit = 0;
    for (std::size_t i = at; i < at + 4; ++i) {
        const char c = i < raw.size() ? raw[i] : '\0';
        const int digit = '0' <= c && c <= '9'   ? c - '0'
                          : 'a' <= c && c <= 'f' ? c - 'a' + 10
                          : 'A' <= c && c <= 'F' ? c - 'A' + 10
                                                 : -1;
        if (digit < 0) {
            fail("a \\u escape needs four hexadecimal digits",
                 first_byte_ + static_cast<std::size_t>(raw.data() - text_.data()) + at);
            return 0;
        }
        unit = (unit << 4) | static_cast<std::uint32_t>(digit);
    }
    return unit;
}

inline std::string_view json_scanner::decode(std::string_view raw) noexcept {
    if (decoded_.size() == 0) {  // decoding never lengthens, so the text's size is enough for all
        auto memory = buffer<char>::make(text_.size());
        if (!memory) return fail(memory.error()), std::string_view{};
        decoded_ = *std::move(memory);
    }
    const std::size_t raw_at = first_byte_ + static_cast<std::size_t>(raw.data() - text_.data());
    char* const begin = decoded_.data() + n_decoded_;
    char* out = begin;
    for (std::size_t i = 0; i < raw.size() && outcome_;) {
        if (raw[i] != '\\') {
            *out++ = raw[i++];
            continue;
        }
        constexpr std::string_view names = "\"\\/bfnrt", meanings = "\"\\/\b\f\n\r\t";
        const std::size_t known = names.find(raw[i + 1]);
        if (known != std::string_view::npos) {
            *out++ = meanings[known];
            i += 2;
        } else if (raw[i + 1] == 'u') {
            std::uint32_t code = code_unit(raw, i + 2);
            std::size_t n = 6;
            if (code >= 0xd800 && code < 0xdc00 && raw.substr(i + 6, 2) == "\\u") {
                const std::uint32_t low = code_unit(raw, i + 8);
                if (low >= 0xdc00 && low < 0xe000) {
                    code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
                    n = 12;
                }
            }
            if (code >= 0xd800 && code < 0xe000) fail("a surrogate without its pair", raw_at + i);
            else if (outcome_) out = utf8_encode(code, out);
            i += n;
        } else {
            fail("an unknown escape in a string", raw_at + i);
        }
    }
    n_decoded_ += static_cast<std::size_t>(out - begin);
    return {begin, static_cast<std::size_t>(out - begin)};
}

}  // namespace pare::io::inline PARE_ARCH_NAMESPACE

#endif  // PARE_IO_JSON_SCANNER_HPP
