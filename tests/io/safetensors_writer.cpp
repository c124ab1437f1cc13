// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/io/safetensors_writer.hpp>

#include "files.hpp"
#include "support/catch.hpp"
#include "support/data.hpp"

#include <pare/io/safetensors_reader.hpp>

#include <array>
#include <cerrno>
#include <string>
#include <string_view>
#include <vector>

using pare::io::dtype;
using pare::io::safetensors_reader;
using pare::io::safetensors_writer;
using pare::testing::read_text;
using pare::testing::temporary_folder;
using namespace std::string_literals;

namespace {

constexpr std::array<std::size_t, 1> one{1};
constexpr std::array<std::size_t, 2> two_by_three{2, 3};
constexpr std::array<float, 6> six{1, 2, 3, 4, 5, 6};
const auto six_bytes = std::as_bytes(std::span(six));

}  // namespace

TEST_CASE("safetensors_writer writes these bytes") {
    const temporary_folder folder;
    const std::array<std::uint8_t, 1> byte{0x5a};
    const std::array<std::uint16_t, 4> halves{0x0102, 0x0304, 0x0506, 0x0708};
    const std::array<std::size_t, 2> column{4, 1};
    {
        safetensors_writer out(folder / "golden");
        out.add("flag", dtype::u8, {}, std::as_bytes(std::span(byte)));
        out.add("half \"quoted\"", dtype::f16, column, std::as_bytes(std::span(halves)));
        out.add("none", dtype::i64, std::array<std::size_t, 2>{0, 7}, {});
        out.add_metadata("by", "pare\n");
        REQUIRE(out.commit());
    }
    std::string header = R"({"__metadata__":{"by":"pare\u000a"},)"
                         R"("none":{"dtype":"I64","shape":[0,7],"data_offsets":[0,0]},)"
                         R"("half \"quoted\"":{"dtype":"F16","shape":[4,1],"data_offsets":[0,8]},)"
                         R"("flag":{"dtype":"U8","shape":[],"data_offsets":[8,9]}})";
    header.resize(248, ' ');
    CHECK(read_text(folder / "golden") ==
          "\xf8\0\0\0\0\0\0\0"s + header + "\x02\x01\x04\x03\x06\x05\x08\x07\x5a");
}

TEST_CASE("safetensors_writer gives back what was added") {
    const temporary_folder folder;
    const std::string odd_name = "a\tb\\c\"d/\xc3\xa9\xf0\x9f\x98\x80"s + '\0' + "e";
    safetensors_writer out(folder / "f");
    REQUIRE(out.add(odd_name, dtype::f32, two_by_three, six_bytes));
    REQUIRE(out.add("", dtype::bf16, one, six_bytes.first(2)));
    REQUIRE(out.add_metadata(odd_name, odd_name));
    REQUIRE(out.add_metadata("", ""));
    REQUIRE(out.commit());

    const auto reader = safetensors_reader::open((folder / "f").c_str());
    REQUIRE(reader);
    const auto tensor = reader->find(odd_name);
    REQUIRE(tensor);
    CHECK(tensor->type == dtype::f32);
    CHECK(tensor->rank == 2);
    CHECK(tensor->extents[1] == 3);
    CHECK(std::memcmp(tensor->bytes.data(), six.data(), sizeof(six)) == 0);
    CHECK(reader->find("")->type == dtype::bf16);
    CHECK(*reader->metadata(odd_name) == odd_name);
    CHECK(reader->metadata("")->empty());
}

TEST_CASE("safetensors_writer aligns every tensor to its size's power of two, up to 64") {
    const temporary_folder folder;
    const std::vector<std::byte> data(1000);
    safetensors_writer out(folder / "f");
    for (const std::size_t n : {1u, 64u, 6u, 200u, 128u, 3u, 48u, 1000u, 2u, 192u})
        REQUIRE(out.add(std::to_string(n), dtype::u8, std::array{n}, std::span(data).first(n)));
    REQUIRE(out.commit());
    const auto reader = safetensors_reader::open((folder / "f").c_str());
    REQUIRE(reader);
    for (const auto& tensor : reader->tensors()) {
        const std::size_t n = tensor.bytes.size();
        const std::size_t power = n % 64 == 0 ? 64 : n & (~n + 1);
        CAPTURE(n);
        CHECK(reinterpret_cast<std::uintptr_t>(tensor.bytes.data()) % power == 0);
    }
}

TEST_CASE("safetensors_writer without tensors writes a valid file") {
    const temporary_folder folder;
    safetensors_writer out(folder / "f");
    REQUIRE(out.commit());
    const auto reader = safetensors_reader::open((folder / "f").c_str());
    REQUIRE(reader);
    CHECK(reader->tensors().empty());
    CHECK(reader->metadata().empty());
}

TEST_CASE("safetensors_writer that is not committed leaves nothing behind") {
    const temporary_folder folder;
    {
        safetensors_writer out(folder / "f");
        REQUIRE(out.add("a", dtype::f32, two_by_three, six_bytes));
    }
    CHECK(folder.n_files() == 0);
}

TEST_CASE("safetensors_writer keeps its first failure and writes nothing") {
    const temporary_folder folder;
    pare::testing::write_text(folder / "f", "before");
    using pare::errc;
    struct row {
        errc code;
        const char* message;
        void (*misuse)(safetensors_writer&);
    };
    const std::array<row, 9> rows{{
        {errc::invalid_argument, "two tensors have the same name",
         [](safetensors_writer& out) { out.add("a", dtype::f32, two_by_three, six_bytes); }},
        {errc::invalid_argument, "the name of a tensor is reserved or not UTF-8",
         [](safetensors_writer& out) {
             out.add("__metadata__", dtype::f32, two_by_three, six_bytes);
         }},
        {errc::invalid_argument, "the name of a tensor is reserved or not UTF-8",
         [](safetensors_writer& out) { out.add("\xff", dtype::f32, two_by_three, six_bytes); }},
        {errc::invalid_argument, "a tensor has more than 8 extents",
         [](safetensors_writer& out) {
             out.add("b", dtype::f32, std::array<std::size_t, 9>{1, 1, 1, 1, 1, 1, 1, 1, 1},
                     six_bytes.first(4));
         }},
        {errc::shape_mismatch, "a tensor's bytes do not fit its dtype and shape",
         [](safetensors_writer& out) { out.add("b", dtype::f16, two_by_three, six_bytes); }},
        {errc::shape_mismatch, "a tensor's bytes do not fit its dtype and shape",
         [](safetensors_writer& out) {
             const std::size_t half = std::size_t{1} << 32;
             out.add("b", dtype::u8, std::array{half, half}, {});
         }},
        {errc::invalid_argument, "two metadata keys are equal",
         [](safetensors_writer& out) { out.add_metadata("k", "other"); }},
        {errc::invalid_argument, "a metadata text is not UTF-8",
         [](safetensors_writer& out) { out.add_metadata("l", "\xc3"); }},
        {errc::invalid_argument, "a metadata text is not UTF-8",
         [](safetensors_writer& out) { out.add_metadata("\xc3", ""); }},
    }};
    for (const row& r : rows) {
        safetensors_writer out(folder / "f");
        out.add("a", dtype::f32, two_by_three, six_bytes);
        REQUIRE(out.add_metadata("k", "v"));
        r.misuse(out);
        CHECK_FALSE(out.add("fine", dtype::f32, two_by_three, six_bytes));
        const auto committed = out.commit();
        CAPTURE(r.message);
        REQUIRE_FALSE(committed);
        CHECK(committed.error().code == r.code);
        CHECK(committed.error().message == std::string_view(r.message));
    }
    CHECK(read_text(folder / "f") == "before");
    CHECK(folder.n_files() == 1);
}

TEST_CASE("safetensors_writer refuses a header that readers refuse") {
    const temporary_folder folder;
    const std::string long_text(60'000'000, 'x');
    safetensors_writer out(folder / "f");
    REQUIRE(out.add_metadata("a", long_text));
    REQUIRE(out.add_metadata("b", long_text));
    const auto committed = out.commit();
    REQUIRE_FALSE(committed);
    CHECK(committed.error().code == pare::errc::invalid_argument);
    CHECK(folder.n_files() == 0);
}

TEST_CASE("safetensors_writer reports a folder that is not there") {
    const temporary_folder folder;
    safetensors_writer out(folder / "absent/f");
    REQUIRE(out.add("a", dtype::f32, two_by_three, six_bytes));
    const auto committed = out.commit();
    REQUIRE_FALSE(committed);
    CHECK(committed.error().code == pare::errc::io_failure);
    CHECK(committed.error().where == ENOENT);
}

TEST_CASE("safetensors_writer copies a real file tensor by tensor") {
    PARE_DATA_OR_SKIP(source, "resnet_cifar10/resnet20.safetensors");
    const temporary_folder folder;
    const auto original = safetensors_reader::open(source.c_str());
    REQUIRE(original);
    safetensors_writer out(folder / "copy");
    for (const auto& t : original->tensors()) out.add(t.name, t.type, t.shape(), t.bytes);
    for (const auto& m : original->metadata()) out.add_metadata(m.name, m.value);
    REQUIRE(out.commit());

    const auto copy = safetensors_reader::open((folder / "copy").c_str());
    REQUIRE(copy);
    REQUIRE(copy->tensors().size() == original->tensors().size());
    for (const auto& t : original->tensors()) {
        const auto same = copy->find(t.name);
        REQUIRE(same);
        CHECK(same->type == t.type);
        CHECK(same->rank == t.rank);
        CHECK(same->extents == t.extents);
        REQUIRE(same->bytes.size() == t.bytes.size());
        CHECK((t.bytes.empty() ||
               std::memcmp(same->bytes.data(), t.bytes.data(), t.bytes.size()) == 0));
    }
}
