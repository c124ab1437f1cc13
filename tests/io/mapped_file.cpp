// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/io/mapped_file.hpp>

#include "files.hpp"
#include "support/catch.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

using pare::io::mapped_file;
using pare::testing::temporary_folder;
using pare::testing::write_text;

namespace {

std::string_view text_of(const mapped_file& file) {
    return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

}  // namespace

TEST_CASE("mapped_file holds the bytes of the file, mapped or read") {
    const temporary_folder folder;
    std::string text;
    for (int i = 0; i < 20000; ++i) text += std::to_string(i);  // several pages and chunks
    write_text(folder / "file", text);
    for (auto* const get : {&mapped_file::open, &mapped_file::read}) {
        auto file = get((folder / "file").c_str());
        REQUIRE(file);
        CHECK(text_of(*file) == text);
        CHECK(reinterpret_cast<std::uintptr_t>(file->bytes().data()) % 64 == 0);
    }
}

TEST_CASE("mapped_file keeps its address when it is moved") {
    const temporary_folder folder;
    write_text(folder / "one", "first");
    write_text(folder / "two", "second");
    for (auto* const get : {&mapped_file::open, &mapped_file::read}) {
        auto one = get((folder / "one").c_str()), two = get((folder / "two").c_str());
        REQUIRE((one && two));
        const auto* const address = one->bytes().data();
        mapped_file moved = std::move(*one);
        CHECK(moved.bytes().data() == address);
        CHECK(one->bytes().empty());
        moved = std::move(*two);
        CHECK(text_of(moved) == "second");
    }
}

TEST_CASE("mapped_file takes an empty file") {
    const temporary_folder folder;
    write_text(folder / "empty", "");
    for (auto* const get : {&mapped_file::open, &mapped_file::read}) {
        const auto file = get((folder / "empty").c_str());
        REQUIRE(file);
        CHECK(file->bytes().empty());
    }
}

TEST_CASE("mapped_file says why it cannot open a file") {
    const temporary_folder folder;
    for (auto* const get : {&mapped_file::open, &mapped_file::read}) {
        const auto absent = get((folder / "absent").c_str());
        REQUIRE_FALSE(absent);
        CHECK(absent.error().code == pare::errc::io_failure);
        CHECK(absent.error().where == ENOENT);

        const auto directory = get(folder.path().c_str());
        REQUIRE_FALSE(directory);
        CHECK(directory.error().code == pare::errc::io_failure);
    }
}

TEST_CASE("mapped_file opens no pipe, and does not wait for one") {
    const temporary_folder folder;
    REQUIRE(::mkfifo((folder / "pipe").c_str(), 0600) == 0);
    ::alarm(10);  // ends the program
    const auto pipe = mapped_file::open((folder / "pipe").c_str());
    ::alarm(0);
    REQUIRE_FALSE(pipe);
    CHECK(pipe.error().code == pare::errc::io_failure);
    CHECK(pipe.error().message == std::string_view("not a regular file"));
}
