// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_IO_LIST_HPP
#define PARE_IO_LIST_HPP

#include "../core/buffer.hpp"

#include <cstddef>
#include <cstring>
#include <span>
#include <utility>

namespace pare::io::inline PARE_ARCH_NAMESPACE {

/// Trivial elements appended one by one or in runs: a buffer that doubles when it is full.
/// Growing moves the elements, so keep indices, not pointers.
template <class T>
class list {
  public:
    list() noexcept = default;
    list(list&& other) noexcept
        : room_(std::move(other.room_)), size_(std::exchange(other.size_, 0)) {}
    list& operator=(list&& other) noexcept {
        room_ = std::move(other.room_);
        size_ = std::exchange(other.size_, 0);
        return *this;
    }

    /// @pre items is not part of this list
    status append(std::span<const T> items) noexcept {
        if (items.size() > room_.size() - size_) {
            const std::size_t needed = size_ + items.size();
            auto larger = buffer<T>::make(needed < 2 * room_.size() ? 2 * room_.size() : needed);
            if (!larger) return larger.error();
            if (size_ != 0) std::memcpy(larger->data(), room_.data(), size_ * sizeof(T));
            room_ = *std::move(larger);
        }
        if (!items.empty()) std::memcpy(room_.data() + size_, items.data(), items.size_bytes());
        size_ += items.size();
        return {};
    }
    status push(const T& item) noexcept { return append({&item, 1}); }

    std::size_t size() const noexcept { return size_; }
    std::span<T> span() noexcept { return {room_.data(), size_}; }
    std::span<const T> span() const noexcept { return {room_.data(), size_}; }

  private:
    buffer<T> room_;
    std::size_t size_ = 0;
};

}  // namespace pare::io::inline PARE_ARCH_NAMESPACE

#endif  // PARE_IO_LIST_HPP
