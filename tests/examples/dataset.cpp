// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "llm/dataset.hpp"

#include "common/error.hpp"
#include "io/files.hpp"
#include "support/catch.hpp"

#include <pare/io/safetensors_writer.hpp>

#include <span>
#include <string>
#include <vector>

using llm::windows;

namespace {

template <class T>
void write_ids(const std::string& path, const std::vector<T>& ids,
               const std::vector<std::size_t>& shape, const std::vector<std::int32_t>& offsets) {
    pare::io::safetensors_writer out(path);
    out.add("ids", pare::io::dtype_of<T>(), shape, std::as_bytes(std::span(ids)));
    const std::size_t n[] = {offsets.size()};
    if (!offsets.empty())
        out.add("offsets", pare::io::dtype::i32, n, std::as_bytes(std::span(offsets)));
    REQUIRE(out.commit());
}

}  // namespace

TEST_CASE("a stream is cut into windows of context + 1, a rest counts only alone") {
    CHECK(llm::cut_stream({1, 2, 3, 4, 5, 6, 7}, 2) == windows{{1, 2, 3}, {4, 5, 6}});
    CHECK(llm::cut_stream({1, 2, 3}, 9) == windows{{1, 2, 3}});
    CHECK(llm::cut_stream({1}, 9).empty());
}

TEST_CASE("documents come from offsets or rows, cut after the context") {
    const pare::testing::temporary_folder folder;
    const std::string file = folder / "a.safetensors";
    write_ids<std::int32_t>(file, {1, 2, 3, 4, 5, 6}, {6}, {0, 4, 5, 6});
    CHECK(llm::read_ids(file, 9, 3) == windows{{1, 2, 3}});  // one token predicts nothing
    write_ids<std::uint8_t>(file, {1, 2, 3, 4, 5, 6}, {2, 3}, {});
    CHECK(llm::read_ids(file, 9, 8) == windows{{1, 2, 3}, {4, 5, 6}});
    write_ids<std::int64_t>(file, {1, 2, 3, 4, 5, 6}, {6}, {});
    CHECK(llm::read_ids(file, 9, 2) == windows{{1, 2, 3}, {4, 5, 6}});
}

TEST_CASE("numbers in a text file are one stream") {
    const pare::testing::temporary_folder folder;
    pare::testing::write_text(folder / "a.txt", " 1 2\n3\t4 ");
    CHECK(llm::read_ids(folder / "a.txt", 5, 9) == windows{{1, 2, 3, 4}});
}

TEST_CASE("ids outside the vocabulary, wrong offsets and other files are refused") {
    const pare::testing::temporary_folder folder;
    const std::string file = folder / "a.safetensors";
    write_ids<std::int32_t>(file, {1, -2, 3}, {3}, {});
    CHECK_THROWS_AS(llm::read_ids(file, 9, 3), tools::failure);
    write_ids<std::int32_t>(file, {1, 9, 3}, {3}, {});
    CHECK_THROWS_AS(llm::read_ids(file, 9, 3), tools::failure);
    for (const std::vector<std::int32_t>& offsets :
         {std::vector<std::int32_t>{0, 4}, {2, 0}, {-1, 2}, {0, 3, 1}}) {
        write_ids<std::int32_t>(file, {1, 2, 3}, {3}, offsets);
        CHECK_THROWS_AS(llm::read_ids(file, 9, 3), tools::failure);
    }
    write_ids<float>(file, {1, 2, 3}, {3}, {});
    CHECK_THROWS_AS(llm::read_ids(file, 9, 3), tools::failure);
    for (const char* text : {"", "7", "1 two", "1 2x", "1.5 2"}) {
        pare::testing::write_text(folder / "a.txt", text);
        CHECK_THROWS_AS(llm::read_ids(folder / "a.txt", 9, 3), tools::failure);
    }
    CHECK_THROWS_AS(llm::read_ids(folder / "none.txt", 9, 3), tools::failure);
}

TEST_CASE("a limit on predictions keeps the first ones") {
    windows w{{1, 2, 3}, {4, 5, 6}, {7, 8}};
    CHECK(llm::n_predictions(w) == 5);
    llm::limit_predictions(w, 5);
    CHECK(llm::n_predictions(w) == 5);
    llm::limit_predictions(w, 3);
    CHECK(w == windows{{1, 2, 3}, {4, 5}});
    llm::limit_predictions(w, 2);
    CHECK(w == windows{{1, 2, 3}});
}
