// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_TESTS_SUPPORT_FENCED_ARRAY_HPP
#define PARE_TESTS_SUPPORT_FENCED_ARRAY_HPP

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <span>

namespace pare::testing {

/// The side of an array that must not be touched.
enum class fence { before, after };

/// A copy of `elements` whose memory begins or ends at a page that may not even be read: touching
/// one byte beyond it on that side ends the program.
template <class T>
class fenced_array {
  public:
    fenced_array(std::span<const T> elements, fence side) : size_(elements.size()) {
        const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
        const std::size_t body = (elements.size_bytes() + page - 1) / page * page;
        bytes_ = body + 2 * page;
        void* memory = mmap(nullptr, bytes_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) std::abort();
        memory_ = static_cast<std::byte*>(memory);
        if (body != 0 && mprotect(memory_ + page, body, PROT_READ | PROT_WRITE) != 0) std::abort();
        first_ = memory_ + page + (side == fence::after ? body - elements.size_bytes() : 0);
        if (size_ != 0) std::memcpy(first_, elements.data(), elements.size_bytes());
    }
    ~fenced_array() { munmap(memory_, bytes_); }
    fenced_array(const fenced_array&) = delete;
    fenced_array& operator=(const fenced_array&) = delete;

    std::span<T> span() { return {reinterpret_cast<T*>(first_), size_}; }
    T* data() { return span().data(); }

  private:
    std::size_t size_, bytes_;
    std::byte* memory_;
    std::byte* first_;
};

}  // namespace pare::testing

#endif  // PARE_TESTS_SUPPORT_FENCED_ARRAY_HPP
