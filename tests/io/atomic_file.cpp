// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/io/atomic_file.hpp>

#include "files.hpp"
#include "support/catch.hpp"

#include <pare/io/mapped_file.hpp>

#include <sys/resource.h>

#include <cerrno>
#include <csignal>
#include <string>
#include <vector>

using pare::io::atomic_file;
using pare::testing::read_text;
using pare::testing::temporary_folder;
using pare::testing::write_text;

namespace {

pare::status write(atomic_file& file, std::string_view text) {
    return file.write(std::as_bytes(std::span(text)));
}

}  // namespace

TEST_CASE("atomic_file appears when it is committed, and nothing else does") {
    const temporary_folder folder;
    auto file = atomic_file::create(folder / "a");
    REQUIRE(file);
    REQUIRE(write(*file, "one "));
    REQUIRE(write(*file, "two"));
    CHECK_FALSE(std::filesystem::exists(folder / "a"));
    REQUIRE(file->commit());
    CHECK(read_text(folder / "a") == "one two");
    CHECK(folder.n_files() == 1);
}

TEST_CASE("atomic_file leaves nothing when it is not committed") {
    const temporary_folder folder;
    write_text(folder / "a", "old");
    {
        auto file = atomic_file::create(folder / "a");
        REQUIRE(file);
        REQUIRE(write(*file, "new"));
        CHECK(folder.n_files() == 2);
    }
    CHECK(read_text(folder / "a") == "old");
    CHECK(folder.n_files() == 1);
}

TEST_CASE("atomic_file replaces at once: who has the old file open still reads it") {
    const temporary_folder folder;
    write_text(folder / "a", "old");
    const auto before = pare::io::mapped_file::open((folder / "a").c_str());
    auto file = atomic_file::create(folder / "a");
    REQUIRE((before && file));
    REQUIRE(write(*file, "new and longer"));
    CHECK(read_text(folder / "a") == "old");
    REQUIRE(file->commit());
    CHECK(read_text(folder / "a") == "new and longer");
    CHECK(std::memcmp(before->bytes().data(), "old", 3) == 0);
}

TEST_CASE("atomic_files of one name do not share what they write") {
    const temporary_folder folder;
    auto first = atomic_file::create(folder / "a"), second = atomic_file::create(folder / "a");
    REQUIRE((first && second));
    REQUIRE(write(*first, "first"));
    REQUIRE(write(*second, "second"));
    REQUIRE(second->commit());
    CHECK(read_text(folder / "a") == "second");
    REQUIRE(first->commit());
    CHECK(read_text(folder / "a") == "first");
    CHECK(folder.n_files() == 1);
}

TEST_CASE("atomic_file gives up when a hundred unfinished ones lie there") {
    const temporary_folder folder;
    std::vector<atomic_file> unfinished;
    for (int i = 0; i < 100; ++i) {
        auto file = atomic_file::create(folder / "a");
        REQUIRE(file);
        unfinished.push_back(*std::move(file));
    }
    const auto file = atomic_file::create(folder / "a");
    REQUIRE_FALSE(file);
    CHECK(file.error().where == EEXIST);
    unfinished.clear();
    CHECK(folder.n_files() == 0);
}

TEST_CASE("atomic_file says why it cannot be created") {
    const temporary_folder folder;
    const auto absent = atomic_file::create(folder / "absent/a");
    REQUIRE_FALSE(absent);
    CHECK(absent.error().code == pare::errc::io_failure);
    CHECK(absent.error().where == ENOENT);

    write_text(folder / "file", "");
    const auto inside_a_file = atomic_file::create(folder / "file/a");
    REQUIRE_FALSE(inside_a_file);
    CHECK(inside_a_file.error().where == ENOTDIR);

    if (::geteuid() == 0) return;  // root may write anywhere
    std::filesystem::permissions(
        folder.path(), std::filesystem::perms::owner_read | std::filesystem::perms::owner_exec);
    const auto forbidden = atomic_file::create(folder / "a");
    std::filesystem::permissions(folder.path(), std::filesystem::perms::owner_all);
    REQUIRE_FALSE(forbidden);
    CHECK(forbidden.error().where == EACCES);
}

TEST_CASE("atomic_file refuses a path that the system would cut") {
    const temporary_folder folder;
    for (const std::size_t at : {std::size_t{0}, folder.path().string().size() + 2}) {
        std::string path = folder / "abc";
        path[at] = '\0';
        const auto refused = atomic_file::create(path);
        REQUIRE_FALSE(refused);
        CHECK(refused.error().code == pare::errc::invalid_argument);
    }
    CHECK(folder.n_files() == 0);
}

TEST_CASE("atomic_file that cannot be renamed leaves the target and nothing else") {
    const temporary_folder folder;
    std::filesystem::create_directories(folder / "a/full");
    auto file = atomic_file::create(folder / "a");
    REQUIRE(file);
    const auto committed = file->commit();
    REQUIRE_FALSE(committed);
    CHECK(committed.error().code == pare::errc::io_failure);
    CHECK(folder.n_files() == 1);
    CHECK(std::filesystem::is_directory(folder / "a/full"));
}

TEST_CASE("atomic_file reports a disk that is full") {
    const temporary_folder folder;
    rlimit before{};
    REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
    const rlimit small{1000, before.rlim_max};
    const auto handler = std::signal(SIGXFSZ, SIG_IGN);
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
    pare::status outcome;
    {
        auto file = atomic_file::create(folder / "a");
        REQUIRE(file);
        outcome = write(*file, std::string(5000, 'x'));
        if (outcome) outcome = file->commit();
    }
    ::setrlimit(RLIMIT_FSIZE, &before);
    std::signal(SIGXFSZ, handler);
    REQUIRE_FALSE(outcome);
    CHECK(outcome.error().code == pare::errc::io_failure);
    CHECK(outcome.error().where == EFBIG);
    CHECK(folder.n_files() == 0);
}
