// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
// Every allocation of io/ goes through buffer; each in turn is made to fail here.
#include <pare/io/gguf_reader.hpp>
#include <pare/io/safetensors.hpp>

#include "files.hpp"
#include "gguf_file.hpp"
#include "support/catch.hpp"
#include "support/failing_allocations.hpp"

#include <array>
#include <string>

using pare::testing::fail_each_allocation;

TEST_CASE("safetensors files report every allocation that fails") {
    const pare::testing::temporary_folder folder;
    const std::string path = folder / "f";
    const std::array<float, 16> values{};
    const pare::packed::dense<float> weights{1, 1, values.data(), nullptr};
    const int n_writing = fail_each_allocation([&]() -> pare::status {
        pare::io::safetensors_writer out(path);
        out.add("name\n", pare::io::dtype::f32, std::array<std::size_t, 1>{16},
                std::as_bytes(std::span(values)));
        out.add("w", weights);
        const pare::status outcome = out.commit();
        // A failed write leaves nothing, an undisturbed one the file alone.
        const auto n_files = folder.n_files();
        if (n_files != (outcome ? 1 : 0)) return pare::error{pare::errc::io_failure, "left over"};
        return outcome;
    });
    CHECK(n_writing > 10);

    const int n_reading = fail_each_allocation([&]() -> pare::status {
        const auto file = pare::io::safetensors_reader::open(path.c_str());
        if (!file) return file.error();
        const auto loaded = pare::io::load<pare::packed::dense<float>>(*file, "w");
        if (!loaded) return loaded.error();
        return {};
    });
    CHECK(n_reading >= 5);  // two lists, decoded names, and two texts and a description of load

    const int n_copying = fail_each_allocation([&]() -> pare::status {
        const auto file = pare::io::mapped_file::read(path.c_str());
        if (!file) return file.error();
        return {};
    });
    CHECK(n_copying == 1);
}

TEST_CASE("gguf_reader reports every allocation that fails") {
    using pare::testing::bytes_of;
    const std::string file = pare::testing::gguf_file()
                                 .entry("k", 0, "\1")
                                 .tensor("a", {1}, 0, bytes_of(1.f))
                                 .tensor("b", {1}, 0, bytes_of(1.f))
                                 .bytes();
    const int n_parsing = fail_each_allocation([&]() -> pare::status {
        const auto read = pare::io::gguf_reader::parse(std::as_bytes(std::span(file)));
        if (!read) return read.error();
        return {};
    });
    CHECK(n_parsing == 3);  // a list of entries, and one of tensors that grows
}
