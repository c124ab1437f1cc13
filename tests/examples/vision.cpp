// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "vision/run.hpp"

#include "common/tensors.hpp"
#include "html.hpp"
#include "naive_network.hpp"
#include "small_networks.hpp"
#include "support/catch.hpp"
#include "support/data.hpp"
#include "vision/calibrate.hpp"
#include "vision/evaluate.hpp"

#include <nlohmann/json.hpp>
#include <cmath>
#include <set>
#include <string>
#include <vector>

// What pare_vision does, with ResNets for CIFAR; other networks are in vision_networks.cpp.

namespace {

using namespace pare::testing;

// The small model and 20 images, in files.
struct small_files : model_and_data {
    explicit small_files(const tensors& t = small_resnet())
        : model_and_data(t, random_records(20, 3072, 3)) {}
};

std::vector<float> naive_logits(const tensors& t, const vision::images& of, bool norms_of_batch) {
    constexpr double mean[] = {0.485, 0.456, 0.406}, deviation[] = {0.229, 0.224, 0.225};
    const naive_network net(t, 1e-5, norms_of_batch);
    maps x(of.size(), 3, 32, 32);
    for (std::size_t i = 0; i < x.values.size(); ++i)
        x.values[i] = (of.pixels[i] / 255.0 - mean[i / 1024 % 3]) / deviation[i / 1024 % 3];
    const auto convolve = [&](maps& from, const std::string& at, const std::string& n,
                              std::size_t stride) {
        maps y = net.convolve(from, at + "conv" + n,
                              {from.height / stride, from.width / stride, stride, 1, 1});
        net.normalise(y, at + "bn" + n);
        return y;
    };
    x = convolve(x, "", "1", 1);
    x.relu();
    for (const std::string at : {"layer1.0.", "layer2.0.", "layer3.0."}) {
        const std::size_t stride = at[5] == '1' ? 1 : 2;
        maps y = convolve(x, at, "1", stride);
        y.relu();
        y = convolve(y, at, "2", 1);
        const std::size_t before = (y.channels - x.channels) / 2;
        for (std::size_t i = 0; i < y.n; ++i)
            for (std::size_t c = 0; c < x.channels; ++c)
                for (std::size_t v = 0; v < y.height; ++v)
                    for (std::size_t u = 0; u < y.width; ++u)
                        y.at(i, before + c, v, u) += x.at(i, c, v * stride, u * stride);
        y.relu();
        x = y;
    }
    x = net.average(x);
    return net.convolve(x, "linear").as_floats();
}

}  // namespace

TEST_CASE("ResNet-20, 32 and 44 give the golden logits, accuracy and likelihood") {
    PARE_DATA_OR_SKIP(folder, "resnet_cifar10");
    PARE_DATA_OR_SKIP(data, "cifar10/cifar10_test1000.bin");
    struct figures {
        const char* name;
        double top1, nll;
    };
    const auto [name, top1, nll] =
        GENERATE(figures{"resnet20", 0.915, 0.3842}, figures{"resnet32", 0.928, 0.3146},
                 figures{"resnet44", 0.933, 0.3889});
    CAPTURE(name);
    loaded net(folder / (std::string(name) + ".safetensors"));
    CHECK("resnet" + net.source.architecture().name.substr(7) == name);
    const vision::model dense = net.make("dense");
    const vision::images images = net.read(data);
    const vision::quality found = vision::evaluate(dense, images);
    CHECK(found.top1 == top1);
    CHECK(found.nll == Approx(nll).margin(5e-5));

    const std::string golden = folder / (std::string(name) + "_golden_logits_test1000.safetensors");
    const auto reader = pare::io::safetensors_reader::open(golden.c_str());
    REQUIRE(reader);
    CHECK(max_abs_error(vision::logits_of(dense, images),
                        tools::read_floats(*reader->find("logits"))) < 1e-3);
}

TEST_CASE("a network computes what its layers are by definition, on any number of threads") {
    const tensors t = small_resnet();
    const small_files files(t);
    loaded net(files.model);
    const vision::images images = net.read(files.data);
    REQUIRE(images.size() == 20);
    const std::vector<float> found = vision::logits_of(net.make("dense"), images);
    const std::vector<float> expected = naive_logits(t, images, false);
    CHECK(max_abs_error(found, expected) < rounding * largest(expected));

    pare::thread_pool alone(1);
    const vision::model single(net.source, {}, {}, {}, alone);
    CHECK(vision::logits_of(single, images) == found);
}

TEST_CASE("norms estimated again are those of the images, layer after layer") {
    tensors t = small_resnet();
    for (auto& [name, tensor] : t)  // what training knew is of no use
        if (name.ends_with(".running_mean") || name.ends_with(".running_var"))
            for (float& v : tensor.values) v *= 1000.0f;
    const small_files files(t);
    loaded net(files.model);
    const vision::images images = net.read(files.data);
    vision::model dense = net.make("dense");
    const std::vector<float> expected = naive_logits(t, images, true);
    CHECK(max_abs_error(vision::logits_of(dense, images), expected) > 0.1 * largest(expected));
    dense.reestimate_norms(images);
    CHECK(max_abs_error(vision::logits_of(dense, images), expected) <
          10 * rounding * largest(expected));
}

TEST_CASE("a recipe compresses all layers but those that stay dense") {
    const small_files files;
    loaded net(files.model);
    const auto dense = net.make("dense").report(), pruned = net.make("nm:2:4").report();
    CHECK(dense.sparsity == 0.0);
    CHECK(dense.retained == 1.0);
    CHECK(pruned.sparsity > 0.45);  // 18 columns are four groups and a half
    CHECK(pruned.retained < 1.0);
    CHECK(pruned.retained > 0.5);
    CHECK(net.make("nm:2:4", {}, {}).bytes() < net.make("nm:2:4").bytes());
    CHECK(net.make("nm:2:4").bytes() < net.make("dense").bytes());
    const std::set<std::string> all_but_one{"conv1",          "layer1.0.conv1", "layer1.0.conv2",
                                            "layer2.0.conv1", "layer2.0.conv2", "layer3.0.conv1",
                                            "linear"};
    const auto one = net.make("nm:1:4+f16", {}, all_but_one).report();
    CHECK(one.sparsity == 0.75);  // of layer3.0.conv2, (8, 72)
    CHECK(one.bytes < dense.bytes / 4);
}

TEST_CASE("calibration sees the norms of a convolution's patches, padding included") {
    tensors t = small_resnet();
    const small_files files(t);
    loaded net(files.model);
    const vision::images images = net.read(files.data, 2);
    const auto seen = vision::calibrate(net.make("dense"), images, true);
    CHECK(seen.size() == 8);
    const tools::input_statistics& first = seen.at("conv1");
    REQUIRE(first.norms.size() == 27);
    double sum = 0.0;  // of the blue channel, as its upper left neighbour sees it
    for (std::size_t i = 0; i < 2; ++i)
        for (std::size_t p = 0; p < 1024; ++p) {
            const double pixel = (images[i][2048 + p] / 255.0 - 0.406) / 0.225;
            if (p / 32 < 31 && p % 32 < 31) sum += pixel * pixel;
        }
    CHECK(static_cast<double>(first.norms[18]) == Approx(std::sqrt(sum)).epsilon(1e-5));
    for (const auto& [name, statistics] : seen)
        for (const float h : statistics.inverse_hessian_diagonal) REQUIRE(h > 0.0f);
    CHECK(seen.at("linear").inverse_hessian_diagonal.size() == 8);
    CHECK(vision::logits_of(net.make("nm:2:4+wanda", seen), images) !=
          vision::logits_of(net.make("nm:2:4"), images));
}

TEST_CASE("norms estimated again give a pruned ResNet-20 most of its accuracy back") {
    PARE_DATA_OR_SKIP(model, "resnet_cifar10/resnet20.safetensors");
    PARE_DATA_OR_SKIP(data, "cifar10/cifar10_test1000.bin");
    PARE_DATA_OR_SKIP(calibration, "cifar10/cifar10_train2000_calib.bin");
    loaded net(model);
    const vision::images images = net.read(data, 300);
    vision::model pruned = net.make("nm:2:4");
    CHECK(vision::evaluate(pruned, images).top1 < 0.6);
    pruned.reestimate_norms(net.read(calibration, 500));
    CHECK(vision::evaluate(pruned, images).top1 > 0.75);
}

TEST_CASE("orders of hinm keep ever more of ResNet-20, up to the unstructured bound") {
    PARE_DATA_OR_SKIP(model, "resnet_cifar10/resnet20.safetensors");
    loaded net(model);
    double before = 0.0;
    for (const char* const order : {"", "+gyro_outputs", "+gyro_inputs", "+gyro", "+gyro:0.05"}) {
        const auto report = net.make(std::string("hinm:2:4:v16:0.5") + order).report();
        CAPTURE(order);
        CHECK(report.sparsity == 0.75);
        CHECK(report.retained > before);
        before = report.retained;
    }
    CHECK(before < net.make("unstructured:0.75").report().retained);
}

TEST_CASE("a run writes its table as JSON and as HTML") {
    const small_files files;
    vision::options o{
        .model = files.model,
        .data = files.data,
        .calibration = files.data,
        .json = files.folder / "table.json",
        .html = files.folder / "report.html",
        .recipes = {tools::parse_recipe("dense"), tools::parse_recipe("nm:2:4+wanda")},
        .keep_dense = {},
        .reestimate_norms = true,
        .limit = 7,
        .threads = 1};
    vision::run(o);
    const auto table = nlohmann::json::parse(pare::testing::read_text(o.json));
    REQUIRE(table.size() == 2);
    CHECK(table[0]["model"] == "small");
    CHECK(table[1]["recipe"] == "nm:2:4+wanda");
    CHECK(table[0]["reestimated_bn"] == false);
    CHECK(table[1]["reestimated_bn"] == true);
    CHECK(table[1]["images"] == 7);
    CHECK(table[0]["retained_saliency"] == 1.0);
    for (const char* const key : {"top1", "nll", "sparsity", "bits_per_weight", "weight_bytes",
                                  "model_bytes", "ms_per_image"})
        CHECK(table[1][key].is_number());

    const std::string page = pare::testing::read_text(o.html);
    CHECK(fault_of(page) == "");
    CHECK_THAT(page, Catch::Contains("<h1>small - pare_vision") &&
                         Catch::Contains("Measured on 7 images") &&
                         Catch::Contains("<li>nm:2:4+wanda ") &&
                         Catch::Contains("<td>" + table[1]["weight_bytes"].dump() + "</td>"));

    o.recipes = {tools::parse_recipe("i8"), tools::parse_recipe("nm:4:8+i8")};
    o.activations = tools::activation_kind::i8;
    vision::run(o);
    const auto integers = nlohmann::json::parse(pare::testing::read_text(o.json));
    CHECK(integers[0]["recipe"] == "i8");
    CHECK(integers[0]["integer_layers"] > 0);
    CHECK(integers[1]["recipe"] == "nm:4:8+i8");
    CHECK(integers[1]["integer_layers"] == 0);

    o.keep_dense = {{"conv1", "fc"}};
    CHECK_THROWS_WITH(vision::run(o),
                      Catch::Contains("no layer 'fc'") && Catch::Contains("linear"));
}

TEST_CASE("a model that is not understood is refused by the name of what is wrong") {
    tensors t = small_resnet();
    std::string named;
    SECTION("a tensor too many") {
        t["layer2.0.downsample.0.weight"] = {{1}, {1.0f}};
        named = "layer2.0.downsample.0.weight";
    }
    SECTION("a tensor too few") {
        t.erase("layer3.0.bn2.running_var");
        named = "layer3.0.bn2.running_var";
    }
    SECTION("a stage too few") {
        std::erase_if(t, [](const auto& e) { return e.first.starts_with("layer3."); });
        named = "layer3.0.conv1.weight";
    }
    SECTION("a tensor of another shape") {
        t["layer2.0.conv1.weight"] = {{4, 2, 1, 1}, std::vector<float>(8)};
        named = "layer2.0.conv1.weight' is (4, 2, 1, 1), not (4, 2, 3, 3)";
    }
    SECTION("a tensor without elements") {
        t["linear.weight"] = {{0, 8}, {}};
        t["linear.bias"] = {{0}, {}};
        named = "linear.weight";
    }
    SECTION("another network") {
        t.clear();
        t["tok_embeddings.weight"] = {{1}, {1.0f}};
        named = "ResNets for CIFAR-10";
    }
    const small_files files(t);
    CHECK_THAT(refusal(files.model, files.data), Catch::Contains(named));
}

TEST_CASE("files that are no model or no records are refused with a sentence") {
    const small_files files;
    CHECK(refusal(files.model, files.data).empty());
    const auto with = [&](std::string_view bytes) {
        pare::testing::write_text(files.folder / "bad", bytes);
        return files.folder / "bad";
    };
    CHECK_THAT(refusal(files.folder / "none", files.data), Catch::Contains("none"));
    CHECK_THAT(refusal(with("junk"), files.data), Catch::Contains("bad"));
    CHECK_THAT(refusal(files.model, files.folder / "none"), Catch::Contains("none"));
    CHECK_THAT(refusal(files.model, with("")), Catch::Contains("0 bytes"));
    CHECK_THAT(refusal(files.model, with(std::string(3074, '\0'))), Catch::Contains("3074 bytes"));
    CHECK_THAT(refusal(files.model, with(std::string(3073, '\0') + std::string(3073, '\3'))),
               Catch::Contains("image 1 is of class 3, and the model has 3"));
}
