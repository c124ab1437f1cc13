// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_IO_BYTE_SCANNER_HPP
#define PARE_IO_BYTE_SCANNER_HPP

#include "../core/status.hpp"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

namespace pare::io::inline PARE_ARCH_NAMESPACE {

/// Reads little-endian numbers and texts one after the other. The first failure stays, as
/// malformed_file with its byte position, and moves to the end of the file: every later call then
/// returns nothing and loops end.
class byte_scanner {
  public:
    explicit byte_scanner(std::span<const std::byte> file) noexcept : file_(file) {}

    const status& outcome() const noexcept { return outcome_; }
    /// The byte of the file that is read next.
    std::size_t where() const noexcept { return at_; }
    void fail(const char* message, std::size_t where) noexcept {
        fail(error{errc::malformed_file, message, where});
    }
    void fail(const error& why) noexcept {
        if (outcome_) outcome_ = why;
        at_ = file_.size();
    }

    /// The next n * size bytes.
    std::span<const std::byte> bytes(std::uint64_t n, std::size_t size = 1) noexcept {
        if (n > (file_.size() - at_) / size) {
            fail("the file ends within its header", at_);
            return {};
        }
        const auto found = file_.subspan(at_, static_cast<std::size_t>(n) * size);
        at_ += found.size();
        return found;
    }

    /// What was read from byte `begin` on. @pre begin <= where()
    std::span<const std::byte> since(std::size_t begin) const noexcept {
        return file_.subspan(begin, at_ - begin);
    }

    template <class T>
    T number() noexcept {
        T value{};
        const auto from = bytes(sizeof(T));
        if (!from.empty()) std::memcpy(&value, from.data(), sizeof(T));
        return value;
    }

    /// A text behind its length of 64 bits; a view of the file.
    std::string_view text() noexcept {
        const auto chars = bytes(number<std::uint64_t>());
        return {reinterpret_cast<const char*>(chars.data()), chars.size()};
    }

  private:
    std::span<const std::byte> file_;
    std::size_t at_ = 0;
    status outcome_;
};

}  // namespace pare::io::inline PARE_ARCH_NAMESPACE

#endif  // PARE_IO_BYTE_SCANNER_HPP
