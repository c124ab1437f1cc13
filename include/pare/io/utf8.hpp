// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_IO_UTF8_HPP
#define PARE_IO_UTF8_HPP

#include "../core/config.hpp"

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace pare::io::inline PARE_ARCH_NAMESPACE {

/// Bytes (1 to 4) of the UTF-8 sequence that begins `text`, 0 if it is none: cut short, overlong,
/// a surrogate or above U+10FFFF.
constexpr std::size_t utf8_length(std::string_view text) noexcept {
    const auto byte = [&](std::size_t i) -> std::uint32_t {
        return i < text.size() ? static_cast<unsigned char>(text[i]) : 0xffu;
    };
    const std::uint32_t lead = byte(0);
    if (lead < 0x80) return 1;
    if (lead < 0xc2 || lead > 0xf4) return 0;
    const std::size_t n = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    std::uint32_t code = lead & (0x7fu >> n);
    for (std::size_t i = 1; i < n; ++i) {
        if ((byte(i) & 0xc0u) != 0x80u) return 0;
        code = (code << 6) | (byte(i) & 0x3fu);
    }
    if (n == 3 && (code < 0x800 || (code >= 0xd800 && code < 0xe000))) return 0;
    if (n == 4 && (code < 0x10000 || code > 0x10ffff)) return 0;
    return n;
}

constexpr bool is_utf8(std::string_view text) noexcept {
    for (std::size_t n = 0; !text.empty(); text.remove_prefix(n))
        if ((n = utf8_length(text)) == 0) return false;
    return true;
}

/// Writes the UTF-8 bytes (1 to 4) of a code point. @return the end of what was written.
constexpr char* utf8_encode(std::uint32_t code, char* out) noexcept {
    if (code < 0x80) {
        *out++ = static_cast<char>(code);
        return out;
    }
    const unsigned n = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    *out++ = static_cast<char>((0xf00u >> n) | (code >> (6 * (n - 1))));
    for (unsigned i = n - 1; i-- > 0;)
        *out++ = static_cast<char>(0x80u | ((code >> (6 * i)) & 0x3fu));
    return out;
}

}  // namespace pare::io::inline PARE_ARCH_NAMESPACE

#endif  // PARE_IO_UTF8_HPP
