// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "dataset.hpp"

#include "common/error.hpp"

#include <pare/io/mapped_file.hpp>

#include <algorithm>
#include <cstring>
#include <initializer_list>
#include <string>

namespace vision {

namespace {

using bytes = std::span<const std::byte>;

pare::io::mapped_file map(const std::filesystem::path& file) {
    return tools::value_of(pare::io::mapped_file::open(file.c_str()), file.string());
}

void append(std::vector<std::uint8_t>& to, bytes from) {
    to.resize(to.size() + from.size());
    std::memcpy(to.data() + to.size() - from.size(), from.data(), from.size());
}

images read_records(const std::filesystem::path& file, const extents& each, std::size_t most) {
    const auto mapped = map(file);
    images found{.each = each, .pixels = {}, .labels = {}};
    const std::size_t record_bytes = 1 + each.size();
    const bytes all = mapped.bytes();
    if (all.empty() || all.size() % record_bytes != 0)
        throw tools::failure(file.string() + ": its " + std::to_string(all.size()) +
                             " bytes are no whole number of records, each a class and " +
                             std::to_string(record_bytes - 1) + " bytes of pixels");
    const std::size_t n = std::min(most, all.size() / record_bytes);
    for (std::size_t i = 0; i < n; ++i) {
        append(found.labels, all.subspan(i * record_bytes, 1));
        append(found.pixels, all.subspan(i * record_bytes + 1, record_bytes - 1));
    }
    return found;
}

std::size_t big_endian(bytes from) {
    std::size_t value = 0;
    for (const std::byte b : from.first(4)) value = value << 8 | std::to_integer<std::size_t>(b);
    return value;
}

// The elements of an idx file of bytes: two zeros, 8 for unsigned bytes, the number of extents, the
// extents, the first of which is returned, then the elements.
bytes idx_elements(const std::filesystem::path& file, bytes all,
                   std::initializer_list<std::size_t> inner, std::size_t& n) {
    const std::size_t rank = 1 + inner.size(), header = 4 * (1 + rank);
    const auto refuse = [&](const std::string& why) {
        throw tools::failure(file.string() + ": " + why);
    };
    if (all.size() < header || big_endian(all) != 0x800 + rank)
        refuse("no idx file of unsigned bytes with " + std::to_string(rank) + " extents");
    n = big_endian(all.subspan(4));
    std::size_t of_one = 1, at = 8;
    for (const std::size_t extent : inner) {
        const std::size_t found = big_endian(all.subspan(at));
        if (found != extent)
            refuse("images have an extent of " + std::to_string(found) + ", and the model reads " +
                   std::to_string(extent));
        of_one *= extent, at += 4;
    }
    if (n == 0 || all.size() - header != n * of_one)
        refuse("its header promises " + std::to_string(n) + " elements of " +
               std::to_string(of_one) + " bytes, and " + std::to_string(all.size() - header) +
               " bytes follow");
    return all.subspan(header);
}

std::filesystem::path labels_beside(const std::filesystem::path& file) {
    std::string name = file.filename().string();
    for (const auto& [images, labels] : {std::pair("images", "labels"), std::pair("idx3", "idx1")})
        if (const std::size_t at = name.find(images); at != std::string::npos)
            name.replace(at, std::strlen(images), labels);
    return file.parent_path() / name;
}

images read_idx(const std::filesystem::path& file, const extents& each, std::size_t most) {
    const std::filesystem::path labels_file = labels_beside(file);
    const auto mapped = map(file), mapped_labels = map(labels_file);
    std::size_t n_images = 0, n_labels = 0;
    const bytes pixels = idx_elements(file, mapped.bytes(), {each.height, each.width}, n_images);
    const bytes labels = idx_elements(labels_file, mapped_labels.bytes(), {}, n_labels);
    if (n_images != n_labels)
        throw tools::failure(file.string() + ": " + std::to_string(n_images) + " images, and " +
                             std::to_string(n_labels) + " labels in " + labels_file.string());
    const std::size_t n = std::min(most, n_images);
    images found{.each = each, .pixels = {}, .labels = {}};
    append(found.labels, labels.first(n));
    append(found.pixels, pixels.first(n * each.pixels()));
    return found;
}

}  // namespace

images first_of(const images& all, std::size_t n) {
    images some = all;
    some.labels.resize(std::min(n, all.size()));
    some.pixels.resize(some.size() * all.each.size());
    return some;
}

images read_images(const std::filesystem::path& file, const architecture& for_model,
                   std::size_t most) {
    const auto read = for_model.input.stored == image_format::file::idx ? read_idx : read_records;
    images found = read(file, for_model.input.each, most);
    for (std::size_t i = 0; i < found.size(); ++i)
        if (found.labels[i] >= for_model.n_classes())
            throw tools::failure(file.string() + ": image " + std::to_string(i) + " is of class " +
                                 std::to_string(found.labels[i]) + ", and the model has " +
                                 std::to_string(for_model.n_classes()));
    return found;
}

}  // namespace vision
