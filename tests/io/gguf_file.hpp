// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_TESTS_IO_GGUF_FILE_HPP
#define PARE_TESTS_IO_GGUF_FILE_HPP

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace pare::testing {

/// The bytes of numbers.
template <class... T>
std::string bytes_of(T... numbers) {
    std::string bytes;
    (bytes.append(reinterpret_cast<const char*>(&numbers), sizeof(T)), ...);
    return bytes;
}

/// A text as GGUF files have it: behind its length.
inline std::string gguf_text(std::string_view text) {
    return bytes_of(std::uint64_t{text.size()}).append(text);
}

/// A GGUF file, put together byte by byte.
class gguf_file {
  public:
    /// @param type  as numbered in the file; value: its bytes
    gguf_file& entry(std::string_view key, std::uint32_t type, std::string_view value) {
        entries_ += gguf_text(key) + bytes_of(type);
        entries_ += value;
        ++n_entries_;
        return *this;
    }
    /// A tensor whose data begin at the next multiple of 32 bytes, or where `at` says.
    /// @param ne  extents as in the file, the fastest first
    gguf_file& tensor(std::string_view name, const std::vector<std::uint64_t>& ne,
                      std::uint32_t type, std::string_view data, std::int64_t at = -1) {
        data_.resize((data_.size() + 31) / 32 * 32);
        tensors_ += gguf_text(name) + bytes_of(static_cast<std::uint32_t>(ne.size()));
        for (const std::uint64_t extent : ne) tensors_ += bytes_of(extent);
        tensors_ += bytes_of(type, at < 0 ? data_.size() : static_cast<std::uint64_t>(at));
        data_ += data;
        ++n_tensors_;
        return *this;
    }
    std::string header(std::uint32_t version = 3) const {
        return "GGUF" + bytes_of(version, n_tensors_, n_entries_) + entries_ + tensors_;
    }
    /// @param alignment  of the data
    std::string bytes(std::uint32_t version = 3, std::size_t alignment = 32) const {
        std::string file = header(version);
        file.resize((file.size() + alignment - 1) / alignment * alignment);
        return file + data_;
    }

  private:
    std::string entries_, tensors_, data_;
    std::uint64_t n_entries_ = 0, n_tensors_ = 0;
};

}  // namespace pare::testing

#endif  // PARE_TESTS_IO_GGUF_FILE_HPP
