// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_CORE_BUFFER_HPP
#define PARE_CORE_BUFFER_HPP

#include "config.hpp"
#include "status.hpp"

#include <cstddef>
#include <cstring>
#include <new>
#include <span>
#include <type_traits>
#include <utility>

namespace pare::inline PARE_ARCH_NAMESPACE {

/// An owning, movable array of trivial Ts, zero-filled and aligned to a cache line. The only owner
/// of memory in the library; made by make(), which reports a failed allocation instead of throwing.
template <class T>
class buffer {
    static_assert(std::is_trivially_copyable_v<T>, "a buffer holds trivially copyable elements");

  public:
    static constexpr std::size_t alignment = 64;
    static_assert(alignof(T) <= alignment);

    buffer() noexcept = default;
    buffer(buffer&& other) noexcept
        : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
    buffer& operator=(buffer&& other) noexcept {
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
        return *this;
    }
    ~buffer() { ::operator delete (data_, std::align_val_t{alignment}); }

    static result<buffer> make(std::size_t size) noexcept {
        buffer made;
        if (size == 0) return made;
        if (size > static_cast<std::size_t>(-1) / 2 / sizeof(T))
            return error{errc::out_of_memory, "the requested size overflows"};
        void* memory = ::operator new (size * sizeof(T), std::align_val_t{alignment}, std::nothrow);
        if (memory == nullptr)
            return error{errc::out_of_memory, "an allocation failed", size * sizeof(T)};
        std::memset(memory, 0, size * sizeof(T));
        made.data_ = static_cast<T*>(memory);
        made.size_ = size;
        return made;
    }

    T* data() noexcept { return data_; }
    const T* data() const noexcept { return data_; }
    std::size_t size() const noexcept { return size_; }
    std::size_t bytes() const noexcept { return size_ * sizeof(T); }
    T& operator[](std::size_t i) noexcept { return data_[i]; }
    const T& operator[](std::size_t i) const noexcept { return data_[i]; }
    std::span<T> span() noexcept { return {data(), size_}; }
    std::span<const T> span() const noexcept { return {data(), size_}; }

  private:
    T* data_ = nullptr;
    std::size_t size_ = 0;
};

}  // namespace pare::inline PARE_ARCH_NAMESPACE

#endif  // PARE_CORE_BUFFER_HPP
