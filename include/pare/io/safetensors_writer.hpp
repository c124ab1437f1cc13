// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_IO_SAFETENSORS_WRITER_HPP
#define PARE_IO_SAFETENSORS_WRITER_HPP

#include "../packed/concepts.hpp"
#include "../prune/input_sums.hpp"
#include "atomic_file.hpp"
#include "json_text.hpp"
#include "list.hpp"
#include "sort.hpp"
#include "tensor_info.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace pare::io::inline PARE_ARCH_NAMESPACE {

/// Writes a safetensors file (docs/formats.md). Texts are copied, tensor data are only referred to:
/// they must stay in place until commit(). Nothing reaches the disk before commit(), and then the
/// file is written beside its target and renamed when complete.
///
/// The first failure is kept: every later add() and commit() return it, so a caller may look at
/// commit() alone.
class safetensors_writer {
  public:
    explicit safetensors_writer(std::string_view path) noexcept : path_(store(path)) {}

    /// A tensor of row-major, little-endian `bytes`. @return invalid_argument for more than 8
    /// extents or a name that is taken, reserved or not UTF-8, shape_mismatch when the size is not
    /// what dtype and shape require, out_of_memory.
    const status& add(std::string_view name, dtype type, std::span<const std::size_t> shape,
                      std::span<const std::byte> bytes) noexcept;

    /// Packed weights: the tensors `name.values`, `name.indices` ..., and their description in the
    /// metadata. load() gives them back. Defined in compressed.hpp.
    template <packed::known_weights Weights>
    const status& add(std::string_view name, const Weights& weights) noexcept;

    /// Refused at compile time: the memory of a temporary is gone by commit().
    template <packed::known_weights Weights>
    const status& add(std::string_view name, const Weights&& weights) = delete;

    /// Statistics of a layer's inputs: the tensors `name.tokens`, `name.squares`, `name.largest`
    /// and `name.gram`. load_input_sums() gives them back. Defined in input_sums.hpp.
    const status& add(std::string_view name, const prune::input_sums& sums) noexcept;
    const status& add(std::string_view name, const prune::input_sums&& sums) = delete;

    /// A pair of the header's `__metadata__`. @return invalid_argument for a key that is taken or
    /// text that is not UTF-8, out_of_memory.
    const status& add_metadata(std::string_view key, std::string_view value) noexcept;

    const status& outcome() const noexcept { return outcome_; }

    /// Writes the file. @return the first failure of any add, invalid_argument when the header is
    /// longer than 100 MB, io_failure with errno; the target is then as it was before.
    status commit() noexcept;

  private:
    struct text {
        std::size_t at, size;  // in texts_, which moves as it grows
    };
    struct pair {
        text key, value;
    };
    struct entry {
        text name;
        dtype type;
        std::uint8_t rank;
        std::array<std::size_t, tensor_info::max_rank> extents;
        std::span<const std::byte> bytes;
    };

    const status& keep(const status& outcome) noexcept {
        if (outcome_ && !outcome) outcome_ = outcome;
        return outcome_;
    }
    std::string_view view(text t) const noexcept { return {texts_.span().data() + t.at, t.size}; }
    text store(std::string_view s) noexcept {
        const text stored{texts_.size(), s.size()};
        keep(texts_.append(s));
        return stored;
    }
    const status& refuse(errc code, const char* message) noexcept {
        return keep(error{code, message});
    }
    void describe_metadata(json_text& header) const noexcept;
    void describe_tensors(json_text& header) const noexcept;

    status outcome_;
    list<char> texts_;
    list<pair> metadata_;
    list<entry> tensors_;
    text path_;
};

inline const status& safetensors_writer::add(std::string_view name, dtype type,
                                             std::span<const std::size_t> shape,
                                             std::span<const std::byte> bytes) noexcept {
    if (name == "__metadata__" || !is_utf8(name))
        return refuse(errc::invalid_argument, "the name of a tensor is reserved or not UTF-8");
    for (const entry& other : tensors_.span())
        if (view(other.name) == name)
            return refuse(errc::invalid_argument, "two tensors have the same name");
    if (shape.size() > tensor_info::max_rank)
        return refuse(errc::invalid_argument, "a tensor has more than 8 extents");
    if (required_bytes(type, shape) != bytes.size())
        return refuse(errc::shape_mismatch, "a tensor's bytes do not fit its dtype and shape");

    entry tensor{store(name), type, static_cast<std::uint8_t>(shape.size()), {}, bytes};
    for (std::size_t r = 0; r < shape.size(); ++r) tensor.extents[r] = shape[r];
    return keep(tensors_.push(tensor));
}

inline const status& safetensors_writer::add_metadata(std::string_view key,
                                                      std::string_view value) noexcept {
    if (!is_utf8(key) || !is_utf8(value))
        return refuse(errc::invalid_argument, "a metadata text is not UTF-8");
    for (const pair& other : metadata_.span())
        if (view(other.key) == key)
            return refuse(errc::invalid_argument, "two metadata keys are equal");
    return keep(metadata_.push({store(key), store(value)}));
}

inline void safetensors_writer::describe_metadata(json_text& header) const noexcept {
    if (metadata_.size() == 0) return;
    std::string_view separator = "\"__metadata__\":{";
    for (const pair& p : metadata_.span()) {
        header.raw(separator).string(view(p.key)).raw(":").string(view(p.value));
        separator = ",";
    }
    header.raw("}");
}

inline void safetensors_writer::describe_tensors(json_text& header) const noexcept {
    std::string_view separator = metadata_.size() == 0 ? "" : ",";
    std::size_t at = 0;
    for (const entry& tensor : tensors_.span()) {
        header.raw(separator).string(view(tensor.name));
        header.raw(":{\"dtype\":").string(describe(tensor.type).name).raw(",\"shape\":[");
        for (std::size_t r = 0; r < tensor.rank; ++r)
            header.raw(r == 0 ? "" : ",").number(tensor.extents[r]);
        header.raw("],\"data_offsets\":[").number(at).raw(",");
        header.number(at += tensor.bytes.size()).raw("]}");
        separator = ",";
    }
}

inline status safetensors_writer::commit() noexcept {
    if (!outcome_) return outcome_;
    // The data begin on a multiple of 64 bytes. Tensors whose size is a multiple of a larger power
    // of two come first (else as added), so each begins on a multiple of its own, up to 64.
    constexpr std::size_t alignment = 64;
    const auto granule = [](const entry& tensor) {
        const std::size_t size = tensor.bytes.size() | alignment;
        return size & (~size + 1);
    };
    heap_sort(tensors_.span(), [&](const entry& a, const entry& b) {
        if (granule(a) != granule(b)) return granule(a) > granule(b);
        return a.name.at < b.name.at || (a.name.at == b.name.at && a.name.size < b.name.size);
    });

    json_text header;
    header.raw("{");
    describe_metadata(header);
    describe_tensors(header);
    header.raw("}");
    while (header.outcome() && (header.view().size() + sizeof(std::uint64_t)) % alignment != 0)
        header.raw(" ");
    if (!header.outcome()) return header.outcome();
    const std::uint64_t length = header.view().size();
    if (length > max_header_bytes)
        return error{errc::invalid_argument, "the header is longer than 100 MB"};

    auto file = atomic_file::create(view(path_));
    if (!file) return file.error();
    if (auto ok = file->write(std::as_bytes(std::span(&length, 1))); !ok) return ok;
    if (auto ok = file->write(std::as_bytes(std::span(header.view()))); !ok) return ok;
    for (const entry& tensor : tensors_.span())
        if (auto ok = file->write(tensor.bytes); !ok) return ok;
    return file->commit();
}

}  // namespace pare::io::inline PARE_ARCH_NAMESPACE

#endif  // PARE_IO_SAFETENSORS_WRITER_HPP
