// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/io/safetensors_reader.hpp>

#include "files.hpp"
#include "support/catch.hpp"
#include "support/data.hpp"

#include <string>
#include <string_view>
#include <vector>

using pare::io::dtype;
using pare::io::safetensors_reader;
using pare::testing::safetensors_bytes;
using pare::testing::temporary_folder;
using namespace std::string_view_literals;

namespace {

std::string repeated(std::string_view part, int n) {
    std::string all;
    for (int i = 0; i < n; ++i) all += part;
    return all;
}

}  // namespace

TEST_CASE("safetensors_reader gives the tensors by name, in place") {
    // In the order of names b, a, empty, scalar; of data a, b, scalar; with an escaped name.
    const auto file =
        safetensors_bytes(R"({"b":{"dtype":"I16","shape":[2,1],"data_offsets":[4,8]},)"
                          R"("__metadata__":{"format":"pt","\u006beep":"a\nb"},)"
                          R"( "a\u002fx" : {"shape":[1],"data_offsets":[0,4],"dtype":"F32"},)"
                          R"("empty":{"dtype":"F64","shape":[3,0],"data_offsets":[8,8]},)"
                          R"("scalar":{"dtype":"U8","shape":[],"data_offsets":[8,9]}}   )",
                          9);
    const auto reader = safetensors_reader::parse(file);
    REQUIRE(reader);

    std::string names;
    for (const auto& tensor : reader->tensors()) names += std::string(tensor.name) + ' ';
    CHECK(names == "a/x b empty scalar ");

    const auto b = reader->find("b");
    REQUIRE(b);
    CHECK(b->type == dtype::i16);
    CHECK(std::vector(b->shape().begin(), b->shape().end()) == std::vector<std::size_t>{2, 1});
    CHECK(b->size() == 2);
    CHECK(b->bytes.data() == file.data() + file.size() - 5);
    CHECK(b->bytes.size() == 4);
    CHECK(reader->find("a/x")->bytes.front() == std::byte{0});
    CHECK(reader->find("empty")->size() == 0);
    CHECK(reader->find("scalar")->size() == 1);
    CHECK(reader->find("scalar")->bytes.front() == std::byte{8});

    REQUIRE(reader->metadata().size() == 2);
    CHECK(*reader->metadata("format") == "pt");
    CHECK(*reader->metadata("keep") == "a\nb");
}

TEST_CASE("safetensors_reader says not_found") {
    const auto file = safetensors_bytes("{}", 0);
    const auto reader = safetensors_reader::parse(file);
    REQUIRE(reader);
    CHECK(reader->tensors().empty());
    CHECK(reader->find("a").error().code == pare::errc::not_found);
    CHECK(reader->metadata("a").error().code == pare::errc::not_found);
    CHECK(reader->find("__metadata__").error().code == pare::errc::not_found);
}

TEST_CASE("safetensors_reader takes a name of any length and thousands of tensors") {
    std::string header = "{";
    const std::string long_name(70000, 'n');
    for (int i = 0; i < 3000; ++i)
        header += "\"" + (i == 7 ? long_name : std::to_string(i)) +
                  R"(":{"dtype":"U8","shape":[1],"data_offsets":[)" + std::to_string(i) + "," +
                  std::to_string(i + 1) + "]},";
    header.back() = '}';
    const auto file = safetensors_bytes(header, 3000);
    const auto reader = safetensors_reader::parse(file);
    REQUIRE(reader);
    CHECK(reader->tensors().size() == 3000);
    CHECK(reader->find(long_name)->bytes.front() == std::byte{7});
    for (int i = 100; i < 3000; i += 100)
        CHECK(reader->find(std::to_string(i))->bytes.front() == static_cast<std::byte>(i));
}

namespace {

struct malformed {
    std::string header;
    std::size_t n_data;
    const char* message;
    std::size_t where;  // byte of the file, counted from the header here
};

// A tensor named a, of 4 bytes unless it says otherwise.
std::string tensor(std::string_view dtype, std::string_view shape, std::string_view offsets) {
    return R"("a":{"dtype":")" + std::string(dtype) + R"(","shape":)" + std::string(shape) +
           R"(,"data_offsets":)" + std::string(offsets) + "}";
}

const std::string good = tensor("F32", "[1]", "[0,4]");

std::vector<malformed> malformed_headers() {
    const std::string b4 = R"(,"b":{"dtype":"F32","shape":[1],"data_offsets":)";
    return {
        {"", 0, "the header does not begin with a brace", 0},
        {" {}", 0, "the header does not begin with a brace", 0},
        {"[]", 0, "the header does not begin with a brace", 0},
        {"{", 0, "a string is expected", 1},
        {"{} {}", 0, "the header goes on after its closing brace", 3},
        {std::string("{}\0", 3), 0, "the header goes on after its closing brace", 2},
        {"{" + good, 4, "a comma or the end of an object is expected", 1 + good.size()},
        {"{" + good + ",}", 4, "a string is expected", 2 + good.size()},
        {"{\"a", 0, "a string does not end", 1},
        {"{\"a\xc3\"}", 0, "a string is not UTF-8", 3},
        {R"({"a":1})", 0, "an object is expected", 5},
        {R"({"a":null})", 0, "an object is expected", 5},
        {R"({"a":{}})", 0, "a tensor lacks dtype, shape or data_offsets", 5},
        {R"({"a":{"dtype":"F32","shape":[1]}})", 4, "a tensor lacks dtype, shape or data_offsets",
         5},
        {R"({"a":{"shape":[1],"data_offsets":[0,4]}})", 4,
         "a tensor lacks dtype, shape or data_offsets", 5},
        {R"({"a":{"dtype":"F32","data_offsets":[0,4]}})", 4,
         "a tensor lacks dtype, shape or data_offsets", 5},
        {R"({"a":{"dtype":"F32","dtype":"F32"}})", 4, "a tensor has an unknown or repeated field",
         28},
        {R"({"a":{"dtype":"F32","strides":[1]}})", 4, "a tensor has an unknown or repeated field",
         30},
        {"{" + tensor("F33", "[1]", "[0,4]") + "}", 4, "a tensor has an unknown dtype", 19},
        {"{" + tensor("f32", "[1]", "[0,4]") + "}", 4, "a tensor has an unknown dtype", 19},
        {R"({"a":{"dtype":7}})", 4, "a string is expected", 14},
        {"{" + tensor("F32", "1", "[0,4]") + "}", 4, "an array is expected", 28},
        {"{" + tensor("F32", "[-1]", "[0,4]") + "}", 4, "an unsigned integer is expected", 29},
        {"{" + tensor("F32", "[1.0]", "[0,4]") + "}", 4,
         "a comma or the end of an array is expected", 30},
        {"{" + tensor("F32", "[01]", "[0,4]") + "}", 4, "an integer has a leading zero", 29},
        {"{" + tensor("F32", "[18446744073709551616]", "[0,4]") + "}", 4, "an integer is too large",
         29},
        {"{" + tensor("F32", "[1,1,1,1,1,1,1,1,1]", "[0,4]") + "}", 4,
         "a tensor has more than 8 extents", 45},
        {"{" + tensor("F32", "[[1]]", "[0,4]") + "}", 4, "an unsigned integer is expected", 29},
        {"{" + tensor("F32", "[1]", "[0,4,4]") + "}", 4, "a tensor has more than two data_offsets",
         52},
        {"{" + tensor("F32", "[1]", "[4]") + "}", 4, "data_offsets are not a begin and an end", 5},
        {"{" + tensor("F32", "[1]", "[4,0]") + "}", 4, "data_offsets are not a begin and an end",
         5},
        {"{" + tensor("F32", "[2]", "[0,8]") + "}", 4, "a tensor ends after the file", 5},
        {"{" + tensor("F32", "[1]", "[18446744073709551612,18446744073709551615]") + "}", 4,
         "a tensor ends after the file", 5},
        {"{" + tensor("F32", "[2]", "[0,4]") + "}", 4, "data_offsets do not fit dtype and shape",
         5},
        {"{" + tensor("F32", "[0]", "[0,4]") + "}", 4, "data_offsets do not fit dtype and shape",
         5},
        {"{" + tensor("F32", "[4611686018427387905]", "[0,4]") + "}", 4,
         "the size of a tensor overflows or is not whole bytes", 5},
        {"{" + tensor("F32", "[4294967296,4294967296,1]", "[0,0]") + "}", 0,
         "the size of a tensor overflows or is not whole bytes", 5},
        {"{" + tensor("F4", "[3]", "[0,1]") + "}", 1,
         "the size of a tensor overflows or is not whole bytes", 5},
        {"{" + good + b4 + "[0,4]}}", 4, "two tensors share bytes", 6 + good.size()},
        {"{" + good + b4 + "[2,6]}}", 6, "two tensors share bytes", 6 + good.size()},
        {"{" + tensor("F32", "[1]", "[4,8]") + "}", 8, "bytes before a tensor belong to none", 5},
        {"{" + good + b4 + "[5,9]}}", 9, "bytes before a tensor belong to none", 6 + good.size()},
        {"{" + good + "}", 5, "bytes at the end belong to no tensor", 2 + good.size() + 4},
        {"{}", 1, "bytes at the end belong to no tensor", 2},
        {"{" + good + R"(,"\u0061":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", 8,
         "two tensors have the same name", 11 + good.size()},
        {R"({"__metadata__":{"a":"b","a":"b"}})", 0, "two metadata keys are equal", 29},
        {R"({"__metadata__":{},"__metadata__":{}})", 0, "__metadata__ occurs twice", 34},
        {R"({"__metadata__":{"a":1}})", 0, "a string is expected", 21},
        {R"({"__metadata__":{"a":{"b":"c"}}})", 0, "a string is expected", 21},
        {R"({"__metadata__":[]})", 0, "an object is expected", 16},
        {R"({"a":)" + repeated("[", 100000), 0, "an object is expected", 5},
        {R"({"a":{"dtype":"F32","shape":)" + repeated("[", 100000), 0,
         "an unsigned integer is expected", 29},
    };
}

}  // namespace

TEST_CASE("safetensors_reader says of every malformed header what is wrong and where") {
    for (const malformed& m : malformed_headers()) {
        const auto file = safetensors_bytes(m.header, m.n_data);
        const auto reader = safetensors_reader::parse(file);
        CAPTURE(m.header.substr(0, 200));
        REQUIRE_FALSE(reader);
        CHECK(reader.error().code == pare::errc::malformed_file);
        CHECK(reader.error().message == std::string_view(m.message));
        CHECK(reader.error().where == 8 + m.where);
    }
}

TEST_CASE("safetensors_reader checks the header length first") {
    const auto with_length = [](std::uint64_t length, std::size_t size) {
        std::vector<std::byte> file(size + 8, std::byte{' '});
        std::memcpy(file.data(), &length, sizeof(length));
        file.resize(size);
        return safetensors_reader::parse(file).error();
    };
    CHECK(with_length(0, 0).message == "the file is shorter than a header length"sv);
    CHECK(with_length(0, 7).message == "the file is shorter than a header length"sv);
    CHECK(with_length(0, 7).where == 7);
    CHECK(with_length(3, 10).message == "the header is longer than the file"sv);
    CHECK(with_length(100'000'000, 100).message == "the header is longer than the file"sv);
    CHECK(with_length(100'000'001, 100).message == "the header is longer than 100 MB"sv);
    CHECK(with_length(~std::uint64_t{0}, 100).message == "the header is longer than 100 MB"sv);
}

TEST_CASE("safetensors_reader refuses every truncation of a good file") {
    const auto file = safetensors_bytes("{" + good + "}", 4);
    REQUIRE(safetensors_reader::parse(file));
    for (std::size_t n = 0; n < file.size(); ++n) {
        // An exact copy, so that a sanitizer sees a read past the end.
        const std::vector<std::byte> cut(file.data(), file.data() + n);
        const auto reader = safetensors_reader::parse(cut);
        REQUIRE_FALSE(reader);
        CHECK(reader.error().code == pare::errc::malformed_file);
    }
}

TEST_CASE("safetensors_reader opens a file and stays valid when it is moved") {
    const temporary_folder folder;
    const auto bytes = safetensors_bytes("{" + good + "}", 4);
    pare::testing::write_text(folder / "f",
                              {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    auto reader = safetensors_reader::open((folder / "f").c_str());
    REQUIRE(reader);
    const safetensors_reader moved = *std::move(reader);
    REQUIRE(moved.find("a"));
    CHECK(moved.find("a")->bytes[3] == std::byte{3});

    const auto absent = safetensors_reader::open((folder / "absent").c_str());
    REQUIRE_FALSE(absent);
    CHECK(absent.error().code == pare::errc::io_failure);
}

TEST_CASE("safetensors_reader takes files of other writers") {
    PARE_DATA_OR_SKIP(weights, "stories260k/stories260k.safetensors");
    int n_files = 0;
    for (const auto& entry :
         std::filesystem::recursive_directory_iterator(pare::testing::data_root())) {
        if (entry.path().extension() != ".safetensors") continue;
        CAPTURE(entry.path().string());
        const auto reader = safetensors_reader::open(entry.path().c_str());
        REQUIRE(reader);
        CHECK_FALSE(reader->tensors().empty());
        ++n_files;
    }
    CHECK(n_files > 1);

    // The same weights in another format: after 7 integers, the embedding comes first.
    const auto reader = safetensors_reader::open(weights.c_str());
    const std::string same = pare::testing::read_text(weights.parent_path() / "stories260K.bin");
    REQUIRE(reader);
    const auto embedding = reader->find("tok_embeddings.weight");
    REQUIRE(embedding);
    const auto view = pare::io::view_as<float, 2>(*embedding);
    REQUIRE(view);
    CHECK(view->rows() == 512);
    CHECK(view->cols() == 64);
    REQUIRE(same.size() > 28 + embedding->bytes.size());
    CHECK(std::memcmp(same.data() + 28, view->data_handle(), embedding->bytes.size()) == 0);
}
