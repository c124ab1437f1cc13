// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_IO_MAPPED_FILE_HPP
#define PARE_IO_MAPPED_FILE_HPP

#include "list.hpp"
#include "system_failure.hpp"

#if __has_include(<sys/mman.h>)
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

#include <cstddef>
#include <cstdio>
#include <span>
#include <utility>

namespace pare::io::inline PARE_ARCH_NAMESPACE {

/// The bytes of a file, read-only and aligned to a cache line. The address stays when moved.
/// A mapping is only as good as the file: if another process truncates it, touching the lost pages
/// ends the program; read() is immune.
class mapped_file {
  public:
    mapped_file() noexcept = default;
    mapped_file(mapped_file&& other) noexcept
        : bytes_(std::exchange(other.bytes_, {})), copy_(std::move(other.copy_)) {}
    mapped_file& operator=(mapped_file&& other) noexcept {
        std::swap(bytes_, other.bytes_);
        std::swap(copy_, other.copy_);
        return *this;
    }
    ~mapped_file();

    /// Maps the file where the system can (POSIX), else reads it. @return io_failure with errno, or
    /// with 0 for what is no regular file; a pipe is not waited for.
    static result<mapped_file> open(const char* path) noexcept;

    /// Reads the whole file into memory. @return io_failure with errno, out_of_memory.
    static result<mapped_file> read(const char* path) noexcept;

    std::span<const std::byte> bytes() const noexcept { return bytes_; }

  private:
    std::span<const std::byte> bytes_;
    list<std::byte> copy_;  // empty when mapped
};

inline result<mapped_file> mapped_file::read(const char* path) noexcept {
    std::FILE* file = std::fopen(path, "rb");
    if (file == nullptr) return system_failure("the file cannot be opened");
    mapped_file made;
    status outcome;
    std::byte chunk[16384];
    while (outcome) {
        const std::size_t n = std::fread(chunk, 1, sizeof(chunk), file);
        if (n == 0) break;
        outcome = made.copy_.append({chunk, n});
    }
    if (outcome && std::ferror(file) != 0) outcome = system_failure("the file cannot be read");
    std::fclose(file);
    if (!outcome) return outcome.error();
    made.bytes_ = made.copy_.span();
    return made;
}

#if __has_include(<sys/mman.h>)

inline mapped_file::~mapped_file() {
    if (copy_.size() == 0 && !bytes_.empty())
        ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

inline result<mapped_file> mapped_file::open(const char* path) noexcept {
    const int file = ::open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (file < 0) return system_failure("the file cannot be opened");
    mapped_file made;
    status outcome;
    struct ::stat about {};
    if (::fstat(file, &about) != 0) {
        outcome = system_failure("the file cannot be examined");
    } else if (!S_ISREG(about.st_mode)) {
        outcome = error{errc::io_failure, "not a regular file"};
    } else if (about.st_size > 0) {
        const auto size = static_cast<std::size_t>(about.st_size);
        void* const at = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file, 0);
        if (at != MAP_FAILED) made.bytes_ = {static_cast<const std::byte*>(at), size};
        else outcome = system_failure("the file cannot be mapped");
    }
    ::close(file);
    if (!outcome) return outcome.error();
    return made;
}

#else

inline mapped_file::~mapped_file() = default;

inline result<mapped_file> mapped_file::open(const char* path) noexcept { return read(path); }

#endif

}  // namespace pare::io::inline PARE_ARCH_NAMESPACE

#endif  // PARE_IO_MAPPED_FILE_HPP
