// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_IO_GGUF_READER_HPP
#define PARE_IO_GGUF_READER_HPP

#include "byte_scanner.hpp"
#include "gguf_tensor.hpp"
#include "gguf_value.hpp"
#include "list.hpp"
#include "mapped_file.hpp"
#include "sort.hpp"
#include "utf8.hpp"

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

namespace pare::io::inline PARE_ARCH_NAMESPACE {

/// One pair of a GGUF file's metadata.
struct gguf_entry {
    std::string_view name;  ///< the key
    gguf_value value;
    std::size_t where = 0;  ///< byte of the file at which the pair begins
};

/// A GGUF file of version 2 or 3, little-endian (docs/formats.md). Opening it checks the whole
/// header, so every tensor then lies within the file; the data are neither read nor checked. Names,
/// values and bytes are views of the file: they live as long as the reader, and stay in place when
/// it is moved.
class gguf_reader {
  public:
    /// Maps and checks a file. @return malformed_file, saying what is wrong and at which byte,
    /// io_failure or out_of_memory.
    static result<gguf_reader> open(const char* path) noexcept;

    /// Checks a file that is in memory, which must outlive the reader. @return as open().
    static result<gguf_reader> parse(std::span<const std::byte> file) noexcept;

    /// Ascending by name.
    std::span<const gguf_tensor> tensors() const noexcept { return tensors_.span(); }
    /// Ascending by name.
    std::span<const gguf_entry> metadata() const noexcept { return metadata_.span(); }

    /// @return not_found
    result<gguf_tensor> find(std::string_view name) const noexcept;
    /// The value of a key. @return not_found
    result<gguf_value> metadata(std::string_view key) const noexcept;

  private:
    gguf_reader() noexcept = default;

    void parse_header(byte_scanner& in, std::span<const std::byte> file) noexcept;
    void parse_entry(byte_scanner& in) noexcept;
    static gguf_value parse_value(byte_scanner& in) noexcept;
    std::uint64_t parse_alignment(byte_scanner& in) const noexcept;
    void parse_tensor(byte_scanner& in, std::uint64_t alignment) noexcept;
    void place_tensors(byte_scanner& in, std::span<const std::byte> data) noexcept;

    mapped_file file_;
    list<gguf_tensor> tensors_;
    list<gguf_entry> metadata_;
};

inline result<gguf_reader> gguf_reader::open(const char* path) noexcept {
    auto file = mapped_file::open(path);
    if (!file) return file.error();
    auto reader = parse(file->bytes());
    if (reader) reader->file_ = *std::move(file);
    return reader;
}

inline result<gguf_reader> gguf_reader::parse(std::span<const std::byte> file) noexcept {
    byte_scanner in(file);
    gguf_reader reader;
    reader.parse_header(in, file);
    if (!in.outcome()) return in.outcome().error();
    return reader;
}

inline void gguf_reader::parse_header(byte_scanner& in, std::span<const std::byte> file) noexcept {
    if (in.number<std::uint32_t>() != 0x46554747)
        return in.fail("the file does not begin with GGUF", 0);
    const auto version = in.number<std::uint32_t>();
    if (version != 2 && version != 3)
        return in.fail((version & 0xffff) == 0 ? "the file is big-endian"
                                               : "the file is not of version 2 or 3",
                       4);
    const auto n_tensors = in.number<std::uint64_t>(), n_entries = in.number<std::uint64_t>();
    for (std::uint64_t i = 0; i < n_entries && in.outcome(); ++i) parse_entry(in);
    if (const auto* again = sort_by_name(metadata_.span()))
        return in.fail("two metadata keys are equal", again->where);
    const std::uint64_t alignment = parse_alignment(in);
    for (std::uint64_t i = 0; i < n_tensors && in.outcome(); ++i) parse_tensor(in, alignment);
    if (!in.outcome()) return;
    const std::uint64_t data_at = (in.where() + alignment - 1) & ~(alignment - 1);
    place_tensors(in, file.subspan(data_at < file.size() ? data_at : file.size()));
    if (const auto* again = sort_by_name(tensors_.span()))
        in.fail("two tensors have the same name", again->where);
}

inline void gguf_reader::parse_entry(byte_scanner& in) noexcept {
    gguf_entry entry;
    entry.where = in.where();
    entry.name = in.text();
    if (in.outcome() && (entry.name.empty() || !is_utf8(entry.name)))
        in.fail("a metadata key is empty or not UTF-8", entry.where);
    entry.value = parse_value(in);
    if (!in.outcome()) return;
    if (auto ok = metadata_.push(entry); !ok) in.fail(ok.error());
}

// Arrays of arrays are refused, as by ggml: nothing here recurses.
inline gguf_value gguf_reader::parse_value(byte_scanner& in) noexcept {
    const std::size_t type_at = in.where();
    gguf_value value;
    value.type = in.number<gguf_value_type>();
    value.is_array = value.type == gguf_value_type::array;
    if (value.is_array) value.type = in.number<gguf_value_type>();
    if (value.type > gguf_value_type::f64 || value.type == gguf_value_type::array) {
        in.fail("a metadata value is of an unknown type or an array of arrays", type_at);
        return value;
    }
    const auto n = value.is_array ? in.number<std::uint64_t>() : 1;
    const std::size_t each = gguf_value_bytes[static_cast<std::size_t>(value.type)];
    const std::size_t begin = in.where();
    if (each != 0) value.bytes = in.bytes(n, each);
    else if (!value.is_array) value.bytes = std::as_bytes(std::span(in.text()));
    else {
        for (std::uint64_t i = 0; i < n && in.outcome(); ++i) in.text();
        value.bytes = in.since(begin);
    }
    value.size = static_cast<std::size_t>(n);
    value.where = in.where() - value.bytes.size();
    if (value.type == gguf_value_type::boolean)
        for (const std::byte b : value.bytes)
            if (b > std::byte{1}) in.fail("a metadata bool is neither 0 nor 1", begin);
    return value;
}

inline std::uint64_t gguf_reader::parse_alignment(byte_scanner& in) const noexcept {
    constexpr std::uint64_t largest = 1 << 20;
    const auto given = metadata("general.alignment");
    if (!given) return 32;
    const auto alignment = given->unsigned_integer();
    if (alignment && *alignment <= largest && std::has_single_bit(*alignment)) return *alignment;
    in.fail("general.alignment is no power of two up to 1 MiB", given->where);
    return 1;
}

inline void gguf_reader::parse_tensor(byte_scanner& in, std::uint64_t alignment) noexcept {
    gguf_tensor tensor;
    tensor.where = in.where();
    tensor.name = in.text();
    const auto rank = in.number<std::uint32_t>();
    if (rank > gguf_tensor::max_rank) in.fail("a tensor has more than 4 extents", tensor.where);
    if (!in.outcome()) return;
    tensor.rank = static_cast<std::uint8_t>(rank);
    for (std::size_t r = rank; r-- > 0;) {
        const auto extent = in.number<std::uint64_t>();
        tensor.extents[r] = static_cast<std::size_t>(extent);
        if (tensor.extents[r] != extent) in.fail("the size of a tensor overflows", tensor.where);
    }
    const auto type = in.number<std::uint32_t>();
    tensor.offset = in.number<std::uint64_t>();
    if (!is_utf8(tensor.name)) in.fail("the name of a tensor is not UTF-8", tensor.where);
    if (type >= gguf_types.size() || gguf_types[type].name.empty())
        in.fail("a tensor has an unknown type", tensor.where);
    if (tensor.offset % alignment != 0) in.fail("a tensor is not aligned", tensor.where);
    if (!in.outcome()) return;
    tensor.type = static_cast<gguf_type>(type);
    if (auto ok = tensors_.push(tensor); !ok) in.fail(ok.error());
}

// Tensors lie within the data and share no byte; there may be holes, as alignment leaves them.
inline void gguf_reader::place_tensors(byte_scanner& in, std::span<const std::byte> data) noexcept {
    for (gguf_tensor& tensor : tensors_.span()) {
        const auto bytes = required_bytes(tensor.type, tensor.shape());
        if (!bytes)
            return in.fail("the size of a tensor overflows or its rows are not whole blocks",
                           tensor.where);
        if (tensor.offset > data.size() || *bytes > data.size() - tensor.offset)
            return in.fail("a tensor ends after the file", tensor.where);
        tensor.bytes = data.subspan(static_cast<std::size_t>(tensor.offset), *bytes);
    }
    heap_sort(tensors_.span(), [](const gguf_tensor& a, const gguf_tensor& b) {
        if (a.offset != b.offset) return a.offset < b.offset;
        if (a.bytes.size() != b.bytes.size()) return a.bytes.size() < b.bytes.size();
        return a.where < b.where;
    });
    std::uint64_t end = 0;
    for (const gguf_tensor& tensor : tensors_.span()) {
        if (tensor.offset < end) return in.fail("two tensors share bytes", tensor.where);
        end = tensor.offset + tensor.bytes.size();
    }
}

inline result<gguf_tensor> gguf_reader::find(std::string_view name) const noexcept {
    if (const auto* found = find_by_name(tensors(), name)) return *found;
    return error{errc::not_found, "no tensor of that name"};
}

inline result<gguf_value> gguf_reader::metadata(std::string_view key) const noexcept {
    if (const auto* found = find_by_name(metadata(), key)) return found->value;
    return error{errc::not_found, "no metadata of that key"};
}

}  // namespace pare::io::inline PARE_ARCH_NAMESPACE

#endif  // PARE_IO_GGUF_READER_HPP
