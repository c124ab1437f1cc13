// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "compress/parts.hpp"

#include "common/error.hpp"
#include "common/model_file.hpp"
#include "common/statistics.hpp"
#include "compress/error_measure.hpp"
#include "compress_runs.hpp"
#include "html.hpp"
#include "io/gguf_file.hpp"
#include "llm/calibrate.hpp"
#include "llm/dataset.hpp"
#include "llm/model.hpp"
#include "support/catch.hpp"
#include "support/data.hpp"
#include "vision/evaluate.hpp"
#include "vision_files.hpp"

#include <pare/io/compressed.hpp>

#include <sys/resource.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <map>
#include <string>
#include <vector>

// What pare_compress does; what it writes is run by the programs that it is for.

namespace {

using namespace pare::testing;
namespace fs = std::filesystem;

}  // namespace

TEST_CASE(
    "a language model read from a compressed file gives the bits of one compressed at start") {
    const std::string recipe =
        GENERATE("nm:2:4", "hinm:2:4:v32:0.5+f16", "ubp:8:0.5+f32", "unstructured:0.5", "i8",
                 "i4:g32:a+mse", "nm:2:4+nf4:g64", "hinm:2:4:v32:0.5+i4:g64", "ubp:8:0.75+i8");
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
    const std::string recipe =
        GENERATE("hinm:2:4:v16:0.5+f16", "i4:g32", "nm:2:4+i8", "ubp:8:0.75+i8");
    CAPTURE(recipe);
    const temporary_folder folder;
    const std::string out = folder / "resnet20.safetensors";
    compress({file.string(), out, "--recipe", recipe, "--keep-dense", "conv1,linear"});
    loaded dense(file), packed(out);
    const vision::images images = dense.read(data, 16);
    const vision::model at_start = dense.make(recipe), from_file = packed.make("dense");
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
    CHECK_THAT(why,
               Catch::Contains("out.safetensors.parts") && Catch::Contains("the file cannot be"));
    CHECK(f.folder.n_files() == 1);
}

TEST_CASE("the file is the same for any number of threads") {
    const temporary_folder folder;
    const auto with_threads = [&](const std::string& n) {
        const std::string out = folder / n;
        compress({(bard / "bard.safetensors").string(), out, "--threads", n, "--recipe-file",
                  PARE_SOURCE_DIR "/examples/compress/bard.json"});
        return read_text(out);
    };
    const std::string alone = with_threads("1");
    CHECK(with_threads("3") == alone);
    CHECK(with_threads("40") == alone);  // more than layers
    CHECK(folder.n_files() == 3);
}

TEST_CASE("finished layers are kept for the next run, which makes again what is not theirs") {
    pare::random random(5);
    tensors good;
    for (const char* const name : {"a.weight", "b.weight"})
        good[name] = random_tensor({8, 64}, random);
    good["c.weight"] = random_tensor({8, 32}, random);  // the smallest comes last
    tensors sick = good;
    sick["c.weight"].values[0] = std::nanf("");
    const small_file f(sick);
    const std::vector<std::string> line{f.in, f.out, "--threads", "1"};
    const auto leave_parts = [&](const tensors& t) {
        write_model(f.in, t, "");
        REQUIRE_THAT(refusal(line), Catch::Contains("c.weight"));
        std::map<fs::path, std::string> layers;
        for (const auto& entry : fs::directory_iterator(f.out + ".parts"))
            if (entry.path().extension() == ".safetensors")
                layers[entry.path()] = read_text(entry.path());
        REQUIRE(layers.size() == 2);
        return layers;
    };
    const auto parts = leave_parts(sick);
    const auto& [file, bytes] = *parts.begin();
    const auto& [other, other_bytes] = *parts.rbegin();
    const fs::file_time_type long_ago{};
    fs::last_write_time(other, long_ago);

    std::string flipped = bytes;
    flipped.back() ^= 1;
    for (const std::string& broken : {flipped, bytes.substr(0, 100), std::string()}) {
        write_text(file, broken);
        CHECK(leave_parts(sick) == parts);
    }
    fs::remove(file);
    CHECK(leave_parts(sick) == parts);
    CHECK(fs::last_write_time(other) == long_ago);  // it was not made again

    tensors changed = sick;
    for (const char* const name : {"a.weight", "b.weight"}) changed[name].values[0] += 1.0f;
    const auto other_parts = leave_parts(changed);
    CHECK(other_parts.at(file) != bytes);
    CHECK(other_parts.at(other) != other_bytes);

    write_model(f.in, good, "");
    compress(line);
    CHECK_FALSE(fs::exists(f.out + ".parts"));
    const std::string fresh = f.folder / "fresh";
    compress({f.in, fresh});
    CHECK(read_text(f.out) == read_text(fresh));
}

TEST_CASE("an interrupted run that had just written its file counts as done") {
    const small_file f;
    compress({f.in, f.out});
    const std::string whole = read_text(f.out);
    fs::create_directory(f.out + ".parts");
    compress({f.in, f.out});
    CHECK(read_text(f.out) == whole);
    CHECK(f.folder.n_files() == 2);

    write_text(f.out, "precious");
    fs::create_directory(f.out + ".parts");
    CHECK_THAT(refusal({f.in, f.out}), Catch::Contains("exists by now"));
    CHECK(read_text(f.out) == "precious");
    compress({f.in, f.out, "--force"});
    CHECK(read_text(f.out) == whole);
    CHECK(f.folder.n_files() == 2);
}

TEST_CASE("of two runs at once one is refused, and no other file in the folder is touched") {
    const small_file f;
    fs::create_directory(f.out + ".parts");
    write_text(f.out + ".parts/mine.part", "mine");
    compressor::parts running(f.out);
    running.claim();
    CHECK_THAT(refusal({f.in, f.out}), Catch::Contains("another run"));
    CHECK_FALSE(fs::exists(f.out));
    CHECK(read_text(f.out + ".parts/mine.part") == "mine");
}

TEST_CASE("a recipe file says what the command line can, which counts more") {
    const small_file f;
    const std::string file = f.folder / "recipes.json", other = f.folder / "other";
    write_text(file, R"({"recipe": "nm:1:4", "keep_dense": ["a"],
                         "layers": [{"names": "*", "recipe": "nm:2:4"},
                                    {"names": "nar??w", "recipe": "nm:1:8+f16"}]})");
    compress({f.in, f.out, "--recipe-file", file});
    compress({f.in, other, "--recipe", "nm:1:4", "--keep-dense", "a", "--layer", "*=nm:2:4",
              "--layer", "nar??w=nm:1:8+f16"});
    CHECK(read_text(f.out) == read_text(other));

    write_text(file, R"({"recipe": "nm:1:4"})");
    compress({f.in, f.out, "--force", "--recipe-file", file, "--recipe", "nm:2:4"});
    compress({f.in, other, "--force", "--recipe", "nm:2:4"});
    CHECK(read_text(f.out) == read_text(other));
    const auto calibrated = parse({f.in, f.out, "--recipe-file", file, "--calibration", "c"});
    CHECK(calibrated->chosen.calibration == "c");
    write_text(file, R"({"calibration": "sums"})");
    CHECK(parse({f.in, f.out, "--recipe-file", file})->chosen.calibration == f.folder / "sums");
}

TEST_CASE("what is wrong in a recipe file is named with its key and place") {
    const small_file f;
    const std::string file = f.folder / "recipes.json";
    const auto refused = [&](const std::string& text) {
        write_text(file, text);
        const std::string why = refusal({f.in, f.out, "--recipe-file", file});
        CHECK(why.starts_with(file));
        return why.substr(std::min(why.size(), file.size()));
    };
    CHECK_THAT(refused("{\n  \"recipe\" 1}"), Catch::Contains("line 2, column 12"));
    CHECK(refused("[]") == ": not an object");
    CHECK(refused(R"({"recipes": "nm:2:4"})") == ": there is no key 'recipes'");
    CHECK(refused(R"({"recipe": "i8", "recipe": "i4"})") ==
          ": key 'recipe' occurs twice in an object");
    CHECK(refused(R"({"recipe": 1})") == ": recipe: not a text");
    CHECK(refused(R"({"recipe": []})") == ": recipe: an empty list");
    CHECK_THAT(refused(R"({"recipe": ["i8", "nm:9"]})"),
               Catch::StartsWith(": recipe[1]: recipe 'nm:9'"));
    CHECK(refused(R"({"layers": [{"names": "a"}]})") == ": layers[0]: the key 'recipe' is missing");
    CHECK_THAT(refused(R"({"layers": [{"names": "a", "recipe": "nm:3:7"}]})"),
               Catch::StartsWith(": layers[0].recipe: recipe 'nm:3:7'"));
    CHECK(refused(R"({"keep_dense": "a"})") == ": keep_dense: not a list");
    CHECK(refused(R"({"budget": {"bytes": -1}})") == ": budget.bytes: not a whole number");
    CHECK_THAT(refused(R"({"budget": {"bits_per_weight": 0}})"),
               Catch::StartsWith(": budget.bits_per_weight: not a number"));
    CHECK_THAT(refused(R"({"budget": {"bytes": 1, "bits_per_weight": 1}})"),
               Catch::StartsWith(": budget: it takes one of"));

    const auto senseless = [&](const std::string& text) {
        write_text(file, text);
        return refusal({f.in, f.out, "--recipe-file", file});
    };
    CHECK_THAT(senseless(R"({"recipe": ["i8", "i4"]})"), Catch::Contains("needs a budget"));
    CHECK_THAT(senseless(R"({"budget": {"bytes": 1}})"), Catch::Contains("needs a list"));
    CHECK_THAT(senseless(R"({"recipe": ["i8", "i4"], "budget": {"bytes": 1}})"),
               Catch::Contains("budget: the tensors that stay dense take 512 bytes alone"));
    CHECK_THAT(senseless(R"({"recipe": ["i8", "i4"], "budget": {"bytes": 512}})"),
               Catch::Contains("of 0 bytes for them"));
    CHECK_THAT(refusal({f.in, f.out, "--recipe-file", f.folder / "none"}),
               Catch::Contains("none: it cannot be opened"));
    CHECK_FALSE(fs::exists(f.out));
}

TEST_CASE("within a budget the recipes with the least error are chosen") {
    pare::random random(7);
    tensors t;
    for (const char* const name : {"a.weight", "b.weight", "c.weight"})
        t[name] = random_tensor({16, 64}, random);
    for (std::size_t i = 0; i < t["b.weight"].values.size(); ++i)
        if (i % 4 > 1) t["b.weight"].values[i] = 0.0f;  // 2:4 costs it nothing
    t["bias"] = random_tensor({16}, random);
    const small_file f(t);
    const std::string file = f.folder / "recipes.json";
    const auto chosen = [&](const std::string& budget) {
        write_text(file, R"({"recipe": ["dense", "nm:2:4+f32"], "budget": )" + budget + "}");
        compress({f.in, f.out, "--force", "--recipe-file", file});
        const tools::model_file written(f.out);
        std::string compressed;
        for (const auto& [name, one] : written.tensors())
            if (one.is_compressed()) compressed += name[0];
        return compressed;
    };
    const std::size_t dense = 16 * 64 * 4, packed = 16 * (32 * 4 + 32 * 2 / 8), bias = 64;
    const auto bytes = [&](std::size_t n) { return R"({"bytes": )" + std::to_string(n) + "}"; };
    CHECK(chosen(bytes(3 * dense + bias)) == "b");
    CHECK(chosen(bytes(2 * dense + packed + bias)) == "b");
    CHECK(chosen(bytes(2 * dense + packed + bias - 1)).size() == 2);
    CHECK(chosen(bytes(3 * packed + bias)) == "abc");
    CHECK(chosen(R"({"bits_per_weight": 32})") == "b");
    CHECK(chosen(R"({"bits_per_weight": 26})").size() == 2);
}

TEST_CASE("of a list of recipes those that do not fit a layer are left out for it") {
    pare::random random(7);
    tensors t;
    t["high.weight"] = random_tensor({16, 64}, random);
    t["low.weight"] = random_tensor({4, 64}, random);
    const small_file f(t);
    const std::string file = f.folder / "recipes.json";
    const auto refused = [&](const std::string& list) {
        write_text(file, R"({"recipe": )" + list + R"(, "budget": {"bits_per_weight": 24}})");
        return refusal({f.in, f.out, "--force", "--recipe-file", file});
    };
    CHECK(refused(R"(["ubp:8:0.5", "ubp:4:0.5"])") == "");
    CHECK(tools::model_file(f.out).tensors().at("low.weight").is_compressed());
    CHECK(refused(R"(["ubp:8:0.5", "dense"])") == "");
    CHECK_FALSE(tools::model_file(f.out).tensors().at("low.weight").is_compressed());
    CHECK_THAT(refused(R"(["ubp:8:0.5", "ubp:8:0.75"])"),
               Catch::StartsWith("tensor 'low.weight'") && Catch::Contains("fewer rows"));
    t["low.weight"].values[0] = std::nanf("");
    write_model(f.in, t, "");
    CHECK_THAT(refused(R"(["nm:2:4", "dense"])"), Catch::Contains("NaN"));
}

TEST_CASE("the error of a layer is that of its output") {
    pare::random random(11);
    pare::thread_pool run(1);
    const std::size_t rows = 8, cols = 70, n = 100;
    const auto w = random_tensor({rows, cols}, random).values;
    const auto x = random_tensor({n, cols}, random).values;
    const pare::matrix_view<const float> weights(w.data(), rows, cols), inputs(x.data(), n, cols);
    std::optional<pare::prune::input_observer> seen;
    tools::observe(seen, inputs, true);
    const auto recipe = tools::parse_recipe("nm:2:4");
    const auto packed = tools::make_linear(weights, recipe, tools::codec_kind::f32, {}, run);
    const auto dense = tools::make_linear(weights, {}, tools::codec_kind::f32, {}, run);

    std::vector<float> y(n * rows), z(n * rows);
    dense->apply(inputs, {y.data(), n, rows}, {}, run);
    packed->apply(inputs, {z.data(), n, rows}, {}, run);
    double lost = 0.0, all = 0.0;
    for (std::size_t i = 0; i < y.size(); ++i) {
        lost += std::pow(static_cast<double>(y[i] - z[i]), 2);
        all += std::pow(static_cast<double>(y[i]), 2);
    }
    const auto sums = seen->sums();
    CHECK(compressor::error_measure(weights, &sums, run)(*packed) == Approx(lost / all));
    CHECK(compressor::error_measure(weights, &sums, run)(*dense) == 0.0);
    const pare::prune::input_sums without_gram{sums.tokens, sums.squares, sums.largest};
    CHECK(compressor::error_measure(weights, &without_gram, run)(*packed) ==
          Approx(lost / all).epsilon(0.3));  // of features that are independent
    const pare::prune::input_sums narrow{sums.tokens, sums.squares.first(8), sums.largest.first(8)};
    CHECK_THROWS_WITH(compressor::error_measure(weights, &narrow, run),
                      Catch::Contains("the calibration has 8 inputs, the layer 70"));
}

TEST_CASE("a calibration goes from pare_llm to pare_compress") {
    const temporary_folder folder;
    const std::string sums = folder / "sums", out = folder / "bard.safetensors";
    pare::thread_pool run(1);
    const llm::checkpoint source(bard);
    const llm::model dense(source, {}, {}, run);
    const auto text = llm::read_ids(bard / "bard_eval.safetensors", 256, 512);
    llm::save_calibration(dense, text, sums, [] {});
    compress({(bard / "bard.safetensors").string(), out, "--recipe", "nm:2:4+wanda",
              "--calibration", sums});
    const auto seen = llm::calibrate(dense, text, true);
    const llm::model at_start(source, tools::parse_recipe("nm:2:4+wanda"), seen, run);
    const llm::checkpoint packed(out);
    const llm::model from_file(packed, {}, {}, run);
    CHECK(logits_of(from_file) == logits_of(at_start));
    CHECK_THAT(refusal({(bard / "bard.safetensors").string(), out, "--force", "--layer",
                        "*embed*=nm:2:4+wanda", "--calibration", sums}),
               Catch::Contains("embed_tokens.weight': the calibration has no such layer"));
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
