// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "compress/run.hpp"

#include "common/error.hpp"
#include "common/model_file.hpp"
#include "html.hpp"
#include "io/gguf_file.hpp"
#include "llm/dataset.hpp"
#include "llm/model.hpp"
#include "support/catch.hpp"
#include "support/data.hpp"
#include "vision/evaluate.hpp"
#include "vision_files.hpp"

#include <pare/io/compressed.hpp>

#include <sys/resource.h>

#include <cmath>
#include <csignal>
#include <string>
#include <vector>

// What pare_compress does; what it writes is run by the programs that it is for.

namespace {

using namespace pare::testing;
namespace fs = std::filesystem;

const fs::path bard = fs::path(PARE_SOURCE_DIR) / "examples" / "llm" / "bard";

std::optional<compressor::options> parse(std::vector<std::string> line) {
    line.insert(line.begin(), "pare_compress");
    std::vector<char*> argv;
    for (std::string& word : line) argv.push_back(word.data());
    return compressor::parse_options(static_cast<int>(argv.size()), argv.data());
}

/// Why a command line is refused, or its run fails; empty: it does not.
std::string refusal(const std::vector<std::string>& line) {
    try {
        compressor::run(*parse(line));
    } catch (const tools::failure& e) {
        return e.what();
    }
    return "";
}

void compress(const std::vector<std::string>& line) { REQUIRE(refusal(line) == ""); }

// A matrix that is compressed, one too narrow, a bias.
tensors small_layers() {
    pare::random random(3);
    tensors t;
    t["a.weight"] = random_tensor({8, 32}, random);
    t["narrow.weight"] = random_tensor({8, 15}, random);
    t["a.bias"] = random_tensor({8}, random);
    return t;
}

struct small_file {
    explicit small_file(const tensors& t = small_layers()) { write_model(in, t, R"({"a":1})"); }
    temporary_folder folder;
    std::string in = folder / "in.safetensors", out = folder / "out.safetensors";
};

std::vector<float> logits_of(const llm::model& m) {
    const auto ids = llm::read_ids(bard / "bard_eval.safetensors", 256, 64)[0];
    llm::session s(m, ids.size());
    std::vector<float> logits(ids.size() * m.shape().vocab_size);
    m.forward(ids, s, {logits.data(), ids.size(), m.shape().vocab_size});
    return logits;
}

}  // namespace

TEST_CASE(
    "a language model read from a compressed file gives the bits of one compressed at start") {
    const std::string recipe =
        GENERATE("nm:2:4", "hinm:2:4:v32:0.5+f16", "ubp:8:0.5+f32", "unstructured:0.5");
    CAPTURE(recipe);
    const temporary_folder folder;
    const std::string out = folder / "bard.safetensors";
    compress({(bard / "bard.safetensors").string(), out, "--recipe", recipe, "--threads", "2"});

    pare::thread_pool run(2);
    const llm::checkpoint dense(bard), packed(out);
    CHECK(packed.has_compressed());
    CHECK(packed.n_weights() == dense.n_weights());
    CHECK(packed.other_bytes() == dense.other_bytes());
    const llm::model at_start(dense, tools::parse_recipe(recipe), {}, run);
    const llm::model from_file(packed, {}, {}, run);
    CHECK(logits_of(from_file) == logits_of(at_start));
    CHECK(from_file.report().bytes == at_start.report().bytes);
    CHECK(from_file.report().sparsity == Approx(at_start.report().sparsity));
    CHECK(from_file.report().retained == Approx(at_start.report().retained));
    CHECK_THROWS_WITH(llm::model(packed, tools::parse_recipe("nm:2:4"), {}, run),
                      Catch::Contains("is compressed already"));
    CHECK(tools::recipes_for("bard", true, {{}, {}}, true).size() == 1);
    CHECK_THROWS_AS(tools::recipes_for("bard", true, {{}}, false), tools::usage_error);
}

TEST_CASE("a network read from a compressed file gives the bits of one compressed at start") {
    PARE_DATA_OR_SKIP(file, "resnet_cifar10/resnet20.safetensors");
    PARE_DATA_OR_SKIP(data, "cifar10/cifar10_test1000.bin");
    const temporary_folder folder;
    const std::string out = folder / "resnet20.safetensors";
    compress(
        {file.string(), out, "--recipe", "hinm:2:4:v16:0.5+f16", "--keep-dense", "conv1,linear"});
    loaded dense(file), packed(out);
    const vision::images images = dense.read(data, 16);
    const vision::model at_start = dense.make("hinm:2:4:v16:0.5+f16"),
                        from_file = packed.make("dense");
    CHECK(vision::logits_of(from_file, images) == vision::logits_of(at_start, images));
    CHECK(from_file.report().bytes == at_start.report().bytes);
}

TEST_CASE("each layer has its own recipe, the rest stays as it was") {
    const small_file f;
    compress({f.in, f.out, "--recipe", "nm:1:4", "--layer", "n*=nm:2:4", "--layer",
              "nar??w=nm:1:8+f16"});
    const auto written = pare::io::safetensors_reader::open(f.out.c_str());
    REQUIRE(written);
    CHECK(*written->metadata("config") == R"({"a":1})");
    CHECK(describe_layer(*written, "a.weight")->m == 4);
    CHECK(describe_layer(*written, "narrow.weight")->m == 8);
    CHECK(describe_layer(*written, "narrow.weight")->dtype == "f16");
    const auto source = pare::io::safetensors_reader::open(f.in.c_str());
    CHECK(std::ranges::equal(written->find("a.bias")->bytes, source->find("a.bias")->bytes));

    compress({f.in, f.out, "--force", "--recipe", "nm:1:4", "--layer", "*=nm:2:4", "--keep-dense",
              "?,a"});
    const auto again = pare::io::safetensors_reader::open(f.out.c_str());
    CHECK(again->find("a.weight")->size() == 256);
    CHECK(describe_layer(*again, "narrow.weight")->m == 4);
}

TEST_CASE("what is a layer follows from shape and name") {
    const auto is_layer = [](std::string_view name, std::vector<std::size_t> shape,
                             pare::io::dtype type = pare::io::dtype::bf16) {
        pare::io::tensor_info t{.name = name,
                                .type = type,
                                .rank = static_cast<std::uint8_t>(shape.size()),
                                .bytes = {}};
        std::copy(shape.begin(), shape.end(), t.extents.begin());
        return compressor::is_layer(t);
    };
    CHECK(is_layer("blk.0.attn_q.weight", {2, 16}));
    CHECK(is_layer("conv.weight", {2, 2, 3, 3}));
    CHECK_FALSE(is_layer("conv.weight", {64, 1, 5, 5}));
    CHECK_FALSE(is_layer("a.weight", {2, 15}));
    CHECK_FALSE(is_layer("a.weight", {1, 64}));
    CHECK_FALSE(is_layer("a.weight", {64}));
    CHECK_FALSE(is_layer("a.weight", {64, 0}));
    CHECK_FALSE(is_layer("a.weight", {64, 64}, pare::io::dtype::i8));
    for (const char* const name : {"a.table", "tok_embeddings.weight", "token_embd.weight",
                                   "transformer.wte.weight", "lm_head.weight", "output.weight"})
        CHECK_FALSE(is_layer(name, {64, 64}));
    CHECK(is_layer("attention.output.weight", {64, 64}));

    CHECK(compressor::fits("*.mlp.*", "layers.0.mlp.up.weight"));
    CHECK(compressor::fits("a*b*c", "a.b.bc"));
    CHECK(compressor::fits("conv1", "conv1.weight"));
    CHECK_FALSE(compressor::fits("conv", "conv1.weight"));
    CHECK_FALSE(compressor::fits("a*b", "ab.c"));
    CHECK_FALSE(compressor::fits("?", ""));
}

TEST_CASE("the report shows what became of each layer") {
    const small_file f;
    const std::string file = f.folder / "report.html";
    compress({f.in, "--dry-run", "--recipe", "nm:2:4+f16", "--html", file});
    const std::string page = read_text(file);
    CHECK(fault_of(page) == "");
    CHECK_THAT(page, Catch::Contains("<h1>in.safetensors - pare_compress</h1>") &&
                         Catch::Contains("<li>tensors left dense: 2, of 512 bytes</li>") &&
                         Catch::Contains("<td class='left'>a.weight</td><td class='left'>nm:2:4+f16"
                                         "</td><td>8x32</td><td>50.0 %</td>"));
    CHECK_THAT(page, !Catch::Contains("narrow"));
}

TEST_CASE("a dry run writes nothing, and no run replaces a file unasked") {
    const small_file f;
    compress({f.in, "--dry-run"});
    compress({f.in, f.out, "--dry-run"});
    CHECK(f.folder.n_files() == 1);

    write_text(f.out, "precious");
    CHECK_THAT(refusal({f.in, f.out}), Catch::Contains("out.safetensors: exists already"));
    CHECK(read_text(f.out) == "precious");
    compress({f.in, f.out, "--dry-run"});
    CHECK(read_text(f.out) == "precious");
    compress({f.in, f.out, "--force", "--json", f.folder / "table.json"});
    CHECK(tools::model_file(f.out).has_compressed());
    CHECK(f.folder.n_files() == 3);
    CHECK_THAT(refusal({f.out, f.folder / "twice"}), Catch::Contains("is compressed already"));
}

TEST_CASE("a run that fails leaves nothing") {
    tensors bad = small_layers();
    bad["a.weight"].values[77] = std::nanf("");
    const small_file sick(bad), f;
    CHECK_THAT(refusal({sick.in, sick.out}), Catch::Contains("a.weight") && Catch::Contains("NaN"));
    CHECK(sick.folder.n_files() == 1);

    ::rlimit before{}, full{};  // a disk that is full after 512 bytes
    REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
    full = {512, before.rlim_max};
    const auto handler = std::signal(SIGXFSZ, SIG_IGN);
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &full) == 0);
    const std::string why = refusal({f.in, f.out});
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &before) == 0);
    std::signal(SIGXFSZ, handler);
    CHECK_THAT(why, Catch::Contains("out.safetensors: the file cannot be"));
    CHECK(f.folder.n_files() == 1);
}

TEST_CASE("a GGUF file is compressed as its floats are") {
    const temporary_folder folder;
    std::string codes;
    for (int i = 0; i < 32; ++i) codes += static_cast<char>(i - 16);
    const std::string q8 = bytes_of(std::uint16_t{0x3c00}) + codes;  // times 1
    write_text(folder / "in.gguf",
               gguf_file()
                   .entry("general.architecture", 8, gguf_text("llama"))
                   .entry("llama.block_count", 4, bytes_of(std::uint32_t{1}))
                   .entry("llama.eps", 6, bytes_of(0.1f))
                   .entry("tokens", 9, bytes_of(std::uint32_t{8}, std::uint64_t{0}))
                   .tensor("blk.0.attn_q.weight", {32, 2}, 8, q8 + q8)
                   .tensor("token_embd.weight", {32, 1}, 8, q8)
                   .bytes());
    write_text(folder / "in_config.json", "{}");
    compress({folder / "in.gguf", folder / "out", "--recipe", "nm:2:4"});
    const auto written = pare::io::safetensors_reader::open((folder / "out").c_str());
    REQUIRE(written);
    CHECK(*written->metadata("general.architecture") == "llama");
    CHECK(*written->metadata("llama.block_count") == "1");
    CHECK(*written->metadata("llama.eps") == "0.100000001");
    CHECK_FALSE(written->metadata("tokens"));
    CHECK(*written->metadata("config") == "{}");
    const auto layer =
        pare::io::load<pare::packed::n_m<2, 4, float>>(*written, "blk.0.attn_q.weight");
    REQUIRE(layer);
    CHECK(layer->rows == 2);
    CHECK(layer->values[0] == -16.0f);  // of -16 -15 -14 -13
    CHECK(layer->values[2 * 16] == -12.0f);
    const auto embedding = pare::io::view_as<float, 2>(*written->find("token_embd.weight"));
    REQUIRE(embedding);
    CHECK((*embedding)(0, 31) == 15.0f);

    write_text(folder / "k.gguf",
               gguf_file().tensor("a.weight", {256}, 14, std::string(210, '\0')).bytes());
    CHECK_THAT(refusal({folder / "k.gguf", "--dry-run"}),
               Catch::Contains("a.weight") && Catch::Contains("Q6_K"));
}

TEST_CASE("a command line that fits no tensor, and files that are no models, are refused") {
    const small_file f;
    CHECK(refusal({f.in, f.out, "--layer", "b*=nm:2:4"}) == "no matrix's name fits 'b*'");
    CHECK(refusal({f.in, f.out, "--keep-dense", "b"}) == "no matrix's name fits 'b'");
    CHECK_THAT(refusal({f.in, f.out, "--layer", "a.bias=nm:2:4"}), Catch::Contains("'a.bias'"));
    CHECK_THAT(refusal({f.in, f.out, "--layer", "nm:2:4"}), Catch::Contains("not PATTERN=RECIPE"));
    CHECK_THAT(refusal({f.in, f.out, "--layer", "a=nm:2:4+wanda"}),
               Catch::Contains("--calibration"));
    CHECK_THAT(refusal({f.in, f.out, "--keep-dense", "a"}), Catch::Contains("no tensor of it"));
    CHECK_THAT(refusal({f.in}), Catch::Contains("OUT is missing"));
    CHECK_THAT(refusal({f.folder / "none", f.out}), Catch::Contains("none"));
    write_text(f.folder / "bad", "GGUF");
    CHECK_THAT(refusal({f.folder / "bad", f.out}), Catch::Contains("ends within its header"));
}
