// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_IO_ATOMIC_FILE_HPP
#define PARE_IO_ATOMIC_FILE_HPP

#include "../core/buffer.hpp"
#include "system_failure.hpp"

#if __has_include(<unistd.h>)
#include <unistd.h>
#endif

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <memory>
#include <span>
#include <string_view>
#include <utility>

namespace pare::io::inline PARE_ARCH_NAMESPACE {

/// A file that appears under its name only when complete: written as `path.N.part` beside it
/// (N = 00, 01, ...: the first free), flushed to the disk and renamed by commit(). The destructor
/// removes what was not committed. Every failure is io_failure with errno, but for create().
/// Where rename() does not replace a file (Windows), an existing target is a failure.
class atomic_file {
  public:
    atomic_file(atomic_file&&) noexcept = default;
    atomic_file& operator=(atomic_file&&) = delete;
    ~atomic_file() {
        if (file_ == nullptr) return;
        file_.reset();
        std::remove(part_.data());
    }

    /// @return io_failure with errno, out_of_memory, invalid_argument for a path that holds a NUL:
    /// the system would cut it there.
    static result<atomic_file> create(std::string_view path) noexcept;
    status write(std::span<const std::byte> bytes) noexcept;
    /// To be called once.
    status commit() noexcept;

  private:
    struct close {
        void operator()(std::FILE* file) const noexcept { std::fclose(file); }
    };
    atomic_file() noexcept = default;

    buffer<char> path_, part_;  // zero-terminated
    std::unique_ptr<std::FILE, close> file_;
};

inline result<atomic_file> atomic_file::create(std::string_view path) noexcept {
    if (path.find('\0') != path.npos)
        return error{errc::invalid_argument, "the name of a file holds a NUL"};
    constexpr std::string_view suffix = ".00.part";
    auto name = buffer<char>::make(path.size() + 1);
    auto part = buffer<char>::make(path.size() + suffix.size() + 1);
    if (!name) return name.error();
    if (!part) return part.error();
    path.copy(name->data(), path.size());
    path.copy(part->data(), path.size());
    suffix.copy(part->data() + path.size(), suffix.size());

    atomic_file made;
    for (int n = 0; n < 100; ++n) {
        (*part)[path.size() + 1] = static_cast<char>('0' + n / 10);
        (*part)[path.size() + 2] = static_cast<char>('0' + n % 10);
        made.file_.reset(std::fopen(part->data(), "wbx"));  // x: never one that exists
        if (made.file_ != nullptr || errno != EEXIST) break;
    }
    if (made.file_ == nullptr) return system_failure("the file cannot be created");
    made.path_ = *std::move(name);
    made.part_ = *std::move(part);
    return made;
}

inline status atomic_file::write(std::span<const std::byte> bytes) noexcept {
    if (bytes.empty()) return {};
    if (std::fwrite(bytes.data(), 1, bytes.size(), file_.get()) != bytes.size())
        return system_failure("the file cannot be written");
    return {};
}

inline status atomic_file::commit() noexcept {
    bool flushed = std::fflush(file_.get()) == 0;
#if __has_include(<unistd.h>)
    flushed = flushed && ::fsync(::fileno(file_.get())) == 0;
#endif
    if (!flushed) return system_failure("the file cannot be flushed to the disk");
    if (std::fclose(file_.release()) != 0 || std::rename(part_.data(), path_.data()) != 0) {
        const error why = system_failure("the file cannot be renamed to its final name");
        std::remove(part_.data());
        return why;
    }
    return {};
}

}  // namespace pare::io::inline PARE_ARCH_NAMESPACE

#endif  // PARE_IO_ATOMIC_FILE_HPP
