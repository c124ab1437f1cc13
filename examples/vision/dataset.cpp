// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "dataset.hpp"

#include "common/error.hpp"

#include <pare/io/mapped_file.hpp>

#include <algorithm>
#include <cstring>
#include <string>

namespace vision {

images read_records(const std::filesystem::path& file, const architecture& for_model,
                    std::size_t most) {
    const auto mapped = tools::value_of(pare::io::mapped_file::open(file.c_str()), file.string());
    images found{.each = for_model.input, .pixels = {}, .labels = {}};
    const std::size_t image_bytes = found.each.channels * found.each.pixels();
    const std::span<const std::byte> bytes = mapped.bytes();
    if (bytes.empty() || bytes.size() % (1 + image_bytes) != 0)
        throw tools::failure(file.string() + ": its " + std::to_string(bytes.size()) +
                             " bytes are no whole number of records, each a class and " +
                             std::to_string(image_bytes) + " bytes of pixels");
    const std::size_t n = std::min(most, bytes.size() / (1 + image_bytes));
    found.pixels.resize(n * image_bytes);
    for (std::size_t i = 0; i < n; ++i) {
        const auto record = bytes.subspan(i * (1 + image_bytes), 1 + image_bytes);
        found.labels.push_back(std::to_integer<std::uint8_t>(record[0]));
        if (found.labels.back() >= for_model.n_classes())
            throw tools::failure(file.string() + ": image " + std::to_string(i) + " is of class " +
                                 std::to_string(found.labels.back()) + ", and the model has " +
                                 std::to_string(for_model.n_classes()));
        std::memcpy(found.pixels.data() + i * image_bytes, record.data() + 1, image_bytes);
    }
    return found;
}

}  // namespace vision
