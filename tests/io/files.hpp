// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_TESTS_IO_FILES_HPP
#define PARE_TESTS_IO_FILES_HPP

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

namespace pare::testing {

/// An empty folder of this process's own, removed at the end.
class temporary_folder {
  public:
    temporary_folder() {
        std::string name = (std::filesystem::temp_directory_path() / "pare-test-XXXXXX").string();
        path_ = ::mkdtemp(name.data());
    }
    temporary_folder(const temporary_folder&) = delete;
    temporary_folder& operator=(const temporary_folder&) = delete;
    ~temporary_folder() { std::filesystem::remove_all(path_); }

    std::string operator/(std::string_view name) const { return (path_ / name).string(); }
    const std::filesystem::path& path() const { return path_; }
    std::ptrdiff_t n_files() const {
        return std::distance(std::filesystem::directory_iterator(path_), {});
    }

  private:
    std::filesystem::path path_;
};

inline std::string read_text(const std::filesystem::path& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

inline void write_text(const std::filesystem::path& path, std::string_view text) {
    std::ofstream(path, std::ios::binary) << text;
}

/// The bytes of a safetensors file: length, header, and n data bytes 0, 1, 2, ...
inline std::vector<std::byte> safetensors_bytes(std::string_view header, std::size_t n_data) {
    const std::uint64_t length = header.size();
    std::vector<std::byte> file(sizeof(length) + header.size() + n_data);
    std::memcpy(file.data(), &length, sizeof(length));
    std::memcpy(file.data() + sizeof(length), header.data(), header.size());
    for (std::size_t i = 0; i < n_data; ++i) file[file.size() - n_data + i] = std::byte(i);
    return file;
}

}  // namespace pare::testing

#endif  // PARE_TESTS_IO_FILES_HPP
