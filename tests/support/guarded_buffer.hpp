// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_TESTS_SUPPORT_GUARDED_BUFFER_HPP
#define PARE_TESTS_SUPPORT_GUARDED_BUFFER_HPP

#include <cstddef>
#include <cstring>
#include <memory>
#include <new>
#include <span>
#include <type_traits>

namespace pare::testing {

/// `size` zeroed elements at a chosen distance from a cache line, between two runs of sentinel
/// bytes, each longer than the widest vector store: intact() tells whether someone wrote outside.
template <class T>
class guarded_buffer {
    static_assert(std::is_trivially_copyable_v<T>);

  public:
    static constexpr std::size_t line_bytes = 64;
    static constexpr std::size_t guard_bytes = 4 * line_bytes;

    /// @param misalignment  bytes from a 64-byte boundary to the first element, below 64
    explicit guarded_buffer(std::size_t size, std::size_t misalignment = 0)
        : size_(size), first_(guard_bytes + misalignment), memory_(allocate(total_bytes())) {
        std::memset(memory_.get(), sentinel, total_bytes());
        std::memset(memory_.get() + first_, 0, size * sizeof(T));
    }

    T* data() noexcept { return reinterpret_cast<T*>(memory_.get() + first_); }
    const T* data() const noexcept { return reinterpret_cast<const T*>(memory_.get() + first_); }
    std::size_t size() const noexcept { return size_; }
    T& operator[](std::size_t i) noexcept { return data()[i]; }
    const T& operator[](std::size_t i) const noexcept { return data()[i]; }
    T* begin() noexcept { return data(); }
    T* end() noexcept { return data() + size_; }
    std::span<T> span() noexcept { return {data(), size_}; }
    std::span<const T> span() const noexcept { return {data(), size_}; }

    /// True while every byte before and after the elements is as it was.
    bool intact() const noexcept {
        for (std::size_t i = 0; i < first_; ++i)
            if (memory_[i] != sentinel) return false;
        for (std::size_t i = first_ + size_ * sizeof(T); i < total_bytes(); ++i)
            if (memory_[i] != sentinel) return false;
        return true;
    }

  private:
    static constexpr unsigned char sentinel = 0xa5;

    struct release {
        void operator()(unsigned char* memory) const noexcept {
            ::operator delete (memory, std::align_val_t{line_bytes});
        }
    };
    static unsigned char* allocate(std::size_t bytes) {
        return static_cast<unsigned char*>(::operator new (bytes, std::align_val_t{line_bytes}));
    }
    std::size_t total_bytes() const noexcept { return first_ + size_ * sizeof(T) + guard_bytes; }

    std::size_t size_;
    std::size_t first_;
    std::unique_ptr<unsigned char[], release> memory_;
};

}  // namespace pare::testing

#endif  // PARE_TESTS_SUPPORT_GUARDED_BUFFER_HPP
