// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_IO_SAFETENSORS_READER_HPP
#define PARE_IO_SAFETENSORS_READER_HPP

#include "json_scanner.hpp"
#include "list.hpp"
#include "mapped_file.hpp"
#include "sort.hpp"
#include "tensor_info.hpp"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <utility>

namespace pare::io {

/// One pair of the header's `__metadata__`.
struct metadata_entry {
    std::string_view name;  ///< the key
    std::string_view value;
    std::size_t where = 0;  ///< byte of the file at which the pair begins
};

inline namespace PARE_ARCH_NAMESPACE {

/// A safetensors file (docs/formats.md). Opening it checks the whole header, so every tensor then
/// lies within the file; the data are neither read nor checked. Names, texts and bytes are views of
/// the file: they live as long as the reader, and stay in place when it is moved.
class safetensors_reader {
  public:
    /// Maps and checks a file. @return malformed_file, saying what is wrong and at which byte,
    /// io_failure or out_of_memory.
    static result<safetensors_reader> open(const char* path) noexcept;

    /// Checks a file that is in memory, which must outlive the reader. @return as open().
    static result<safetensors_reader> parse(std::span<const std::byte> file) noexcept;

    /// Ascending by name.
    std::span<const tensor_info> tensors() const noexcept { return tensors_.span(); }
    /// Ascending by name.
    std::span<const metadata_entry> metadata() const noexcept { return metadata_.span(); }

    /// @return not_found
    result<tensor_info> find(std::string_view name) const noexcept;
    /// The value of a key. @return not_found
    result<std::string_view> metadata(std::string_view key) const noexcept;

  private:
    safetensors_reader() noexcept = default;

    status parse_header(std::string_view header, std::span<const std::byte> data) noexcept;
    void parse_metadata(json_scanner& in) noexcept;
    void parse_tensor(json_scanner& in, tensor_info tensor,
                      std::span<const std::byte> data) noexcept;
    status check_coverage(std::span<const std::byte> data, std::size_t data_at) noexcept;

    mapped_file file_;
    buffer<char> decoded_;  // names that had escapes
    list<tensor_info> tensors_;
    list<metadata_entry> metadata_;
};

inline result<safetensors_reader> safetensors_reader::open(const char* path) noexcept {
    auto file = mapped_file::open(path);
    if (!file) return file.error();
    auto reader = parse(file->bytes());
    if (reader) reader->file_ = *std::move(file);
    return reader;
}

inline result<safetensors_reader> safetensors_reader::parse(
    std::span<const std::byte> file) noexcept {
    std::uint64_t length = 0;
    if (file.size() < sizeof(length))
        return error{errc::malformed_file, "the file is shorter than a header length", file.size()};
    std::memcpy(&length, file.data(), sizeof(length));
    if (length > max_header_bytes)
        return error{errc::malformed_file, "the header is longer than 100 MB"};
    if (length > file.size() - sizeof(length))
        return error{errc::malformed_file, "the header is longer than the file"};
    const auto data = file.subspan(sizeof(length));
    const auto n = static_cast<std::size_t>(length);
    safetensors_reader reader;
    const status outcome =
        reader.parse_header({reinterpret_cast<const char*>(data.data()), n}, data.subspan(n));
    if (!outcome) return outcome.error();
    return reader;
}

inline status safetensors_reader::parse_header(std::string_view header,
                                               std::span<const std::byte> data) noexcept {
    constexpr std::size_t header_at = sizeof(std::uint64_t);
    json_scanner in(header, header_at);
    if (!header.starts_with('{')) in.fail("the header does not begin with a brace");
    bool has_metadata = false;
    in.object([&](std::string_view name) {
        if (name != "__metadata__") {
            tensor_info tensor;
            tensor.name = name;
            tensor.where = in.where();
            parse_tensor(in, tensor, data);
        } else if (std::exchange(has_metadata, true)) {
            in.fail("__metadata__ occurs twice");
        } else {
            parse_metadata(in);
        }
    });
    in.finish("the header goes on after its closing brace");
    decoded_ = in.release();
    if (!in.outcome()) return in.outcome();

    if (auto ok = check_coverage(data, header_at + header.size()); !ok) return ok;
    if (const auto* again = sort_by_name(metadata_.span()))
        return error{errc::malformed_file, "two metadata keys are equal", again->where};
    if (const auto* again = sort_by_name(tensors_.span()))
        return error{errc::malformed_file, "two tensors have the same name", again->where};
    return {};
}

inline void safetensors_reader::parse_metadata(json_scanner& in) noexcept {
    in.object([&](std::string_view key) {
        const std::size_t where = in.where();
        const std::string_view value = in.string();
        if (!in.outcome()) return;
        if (auto ok = metadata_.push({key, value, where}); !ok) in.fail(ok.error());
    });
}

inline void safetensors_reader::parse_tensor(json_scanner& in, tensor_info tensor,
                                             std::span<const std::byte> data) noexcept {
    std::size_t offsets[2] = {}, n_offsets = 0;
    bool has_type = false, has_shape = false, has_offsets = false;
    in.object([&](std::string_view field) {
        if (field == "dtype" && !std::exchange(has_type, true)) {
            const std::string_view name = in.string();
            std::size_t type = 0;
            while (type < dtypes.size() && dtypes[type].name != name) ++type;
            if (type == dtypes.size()) in.fail("a tensor has an unknown dtype");
            else tensor.type = static_cast<dtype>(type);
        } else if (field == "shape" && !std::exchange(has_shape, true)) {
            in.array([&] {
                if (tensor.rank == tensor_info::max_rank)
                    in.fail("a tensor has more than 8 extents");
                else tensor.extents[tensor.rank++] = in.unsigned_integer();
            });
        } else if (field == "data_offsets" && !std::exchange(has_offsets, true)) {
            in.array([&] {
                if (n_offsets == 2) in.fail("a tensor has more than two data_offsets");
                else offsets[n_offsets++] = in.unsigned_integer();
            });
        } else {
            in.fail("a tensor has an unknown or repeated field");
        }
    });
    if (!in.outcome()) return;
    if (!has_type || !has_shape || !has_offsets)
        return in.fail("a tensor lacks dtype, shape or data_offsets", tensor.where);
    if (n_offsets != 2 || offsets[0] > offsets[1])
        return in.fail("data_offsets are not a begin and an end", tensor.where);
    if (offsets[1] > data.size()) return in.fail("a tensor ends after the file", tensor.where);
    const auto bytes = required_bytes(tensor.type, tensor.shape());
    if (!bytes)
        return in.fail("the size of a tensor overflows or is not whole bytes", tensor.where);
    if (*bytes != offsets[1] - offsets[0])
        return in.fail("data_offsets do not fit dtype and shape", tensor.where);
    tensor.bytes = data.subspan(offsets[0], *bytes);
    if (auto ok = tensors_.push(tensor); !ok) in.fail(ok.error());
}

// Overlaps and holes are ruled out, as the format demands: no byte has two meanings or none.
inline status safetensors_reader::check_coverage(std::span<const std::byte> data,
                                                 std::size_t data_at) noexcept {
    heap_sort(tensors_.span(), [](const tensor_info& a, const tensor_info& b) {
        if (a.bytes.data() != b.bytes.data()) return a.bytes.data() < b.bytes.data();
        if (a.bytes.size() != b.bytes.size()) return a.bytes.size() < b.bytes.size();
        return a.where < b.where;
    });
    std::size_t end = 0;
    for (const tensor_info& tensor : tensors_.span()) {
        const auto begin = static_cast<std::size_t>(tensor.bytes.data() - data.data());
        if (begin < end)
            return error{errc::malformed_file, "two tensors share bytes", tensor.where};
        if (begin > end)
            return error{errc::malformed_file, "bytes before a tensor belong to none",
                         tensor.where};
        end += tensor.bytes.size();
    }
    if (end != data.size())
        return error{errc::malformed_file, "bytes at the end belong to no tensor", data_at + end};
    return {};
}

inline result<tensor_info> safetensors_reader::find(std::string_view name) const noexcept {
    if (const auto* found = find_by_name(tensors(), name)) return *found;
    return error{errc::not_found, "no tensor of that name"};
}

inline result<std::string_view> safetensors_reader::metadata(std::string_view key) const noexcept {
    if (const auto* found = find_by_name(metadata(), key)) return found->value;
    return error{errc::not_found, "no metadata of that key"};
}

}  // namespace PARE_ARCH_NAMESPACE

}  // namespace pare::io

#endif  // PARE_IO_SAFETENSORS_READER_HPP
