// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "vision/architecture.hpp"

#include "common/tensors.hpp"
#include "naive_network.hpp"
#include "small_networks.hpp"
#include "support/catch.hpp"
#include "support/data.hpp"
#include "vision/calibrate.hpp"
#include "vision/evaluate.hpp"
#include "vision/run.hpp"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

// The networks beside the ResNets of vision.cpp, each small and by its definition, then as trained.

namespace {

using namespace pare::testing;

std::vector<float> naive_ds_cnn(const tensors& t, const vision::images& of, bool norms_of_batch) {
    const naive_network net(t, 1e-3, norms_of_batch);
    maps x(of.size(), 1, 49, 10);
    for (std::size_t i = 0; i < x.values.size(); ++i)
        x.values[i] = (static_cast<std::int8_t>(of.pixels[i]) - 83) * 0.5847029;
    const auto convolve = [&](const std::string& name, const std::string& norm, const sliding& s) {
        x = net.convolve(x, name, s);
        net.normalise(x, norm);
        x.relu();
    };
    convolve("conv0", "bn0", {25, 5, 2, 4, 1});
    for (const std::string n : {"1", "2"}) {
        convolve("dw" + n, "dw" + n + "_bn", {25, 5, 1, 1, 1});
        convolve("pw" + n, "pw" + n + "_bn", {25, 5});
    }
    x = net.average(x);
    return net.convolve(x, "fc").as_floats();
}

std::vector<float> naive_resnet8(const tensors& t, const vision::images& of) {
    const naive_network net(t);
    maps x(of.size(), 3, 32, 32);
    for (std::size_t i = 0; i < x.values.size(); ++i) x.values[i] = of.pixels[i];
    const auto add_relu = [](maps y, const maps& to) {
        for (std::size_t i = 0; i < y.values.size(); ++i) y.values[i] += to.values[i];
        y.relu();
        return y;
    };
    x = net.convolve(x, "n00.conv", {32, 32, 1, 1, 1});
    x.relu();
    maps y = net.convolve(x, "n01.conv", {32, 32, 1, 1, 1});
    y.relu();
    x = add_relu(net.convolve(y, "n02.conv", {32, 32, 1, 1, 1}), x);
    y = net.convolve(x, "n04.conv", {16, 16, 2, 0, 0});
    y.relu();
    x = add_relu(net.convolve(y, "n05.conv", {16, 16, 1, 1, 1}),
                 net.convolve(x, "n06.conv", {16, 16, 2}));
    y = net.convolve(x, "n08.conv", {8, 8, 2, 0, 0});
    y.relu();
    x = add_relu(net.convolve(y, "n09.conv", {8, 8, 1, 1, 1}),
                 net.convolve(x, "n10.conv", {8, 8, 2}));
    x = net.average(x);
    return net.convolve(x, "n14.fc").as_floats();
}

std::vector<float> naive_lenet(const tensors& t, const vision::images& of) {
    const naive_network net(t);
    maps x(of.size(), 1, 28, 28);
    for (std::size_t i = 0; i < x.values.size(); ++i) x.values[i] = of.pixels[i] * 0.00390625;
    x = net.convolve(x, "conv1", {24, 24});
    x = net.largest(x);
    x = net.convolve(x, "conv2", {10, 10});
    x = net.largest(x);
    x = net.convolve(x, "ip1");
    x.relu();
    return net.convolve(x, "ip2").as_floats();
}

std::string header(std::initializer_list<unsigned> words) {
    std::string bytes;
    for (const unsigned word : words)
        for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(word >> shift);
    return bytes;
}

// A small LeNet and 17 images, as MNIST's are stored.
struct lenet_files {
    explicit lenet_files(unsigned n = 17) {
        pare::random random(2);
        std::string pixels, classes;
        for (unsigned i = 0; i < n; ++i) classes += static_cast<char>(random.below(3));
        for (unsigned i = 0; i < n * 784; ++i) pixels += static_cast<char>(random.below(256));
        write_model(model, small_lenet(), "");
        write_text(images, header({0x803, n, 28, 28}) + pixels);
        write_text(labels, header({0x801, n}) + classes);
    }
    temporary_folder folder;
    std::string model = folder / "lenet.safetensors", images = folder / "few-images-idx3-ubyte",
                labels = folder / "few-labels-idx1-ubyte";
};

double distance(const std::vector<float>& found, const std::vector<float>& expected) {
    return max_abs_error(found, expected) / largest(expected);
}

std::vector<float> tensor_of(const std::filesystem::path& file, const char* name) {
    const auto reader = pare::io::safetensors_reader::open(file.c_str());
    REQUIRE(reader);
    return tools::read_floats(*reader->find(name));
}

}  // namespace

TEST_CASE("a DS-CNN computes what its layers are by definition, norms estimated again too") {
    const tensors t = small_ds_cnn();
    const model_and_data files(t, random_records(20, 490, 2));
    loaded net(files.model);
    const vision::images images = net.read(files.data);
    vision::model dense = net.make("dense");
    CHECK(distance(vision::logits_of(dense, images), naive_ds_cnn(t, images, false)) < rounding);
    dense.reestimate_norms(images);
    CHECK(distance(vision::logits_of(dense, images), naive_ds_cnn(t, images, true)) <
          10 * rounding);
}

TEST_CASE("a ResNet-8 with convolutions on its shortcuts is what its layers are by definition") {
    const tensors t = small_resnet8();
    const model_and_data files(t, random_records(18, 3072, 3));
    loaded net(files.model);
    const vision::images images = net.read(files.data);
    CHECK(distance(vision::logits_of(net.make("dense"), images), naive_resnet8(t, images)) <
          rounding);
}

TEST_CASE("a LeNet computes what its layers are by definition") {
    const lenet_files files;
    loaded net(files.model);
    const vision::images images = net.read(files.images);
    REQUIRE(images.size() == 17);
    CHECK(distance(vision::logits_of(net.make("dense"), images),
                   naive_lenet(small_lenet(), images)) < rounding);
}

TEST_CASE("recipes leave depthwise convolutions dense") {
    const model_and_data files(small_ds_cnn(), random_records(20, 490, 2));
    loaded net(files.model);
    const auto seen = vision::calibrate(net.make("dense"), net.read(files.data), false);
    CHECK(seen.size() == 4);  // conv0, pw1, pw2, fc
    CHECK(seen.at("pw2").norms.size() == 5);
    const auto pruned = net.make("nm:1:4", {}, {"conv0", "fc"});
    CHECK(pruned.report().sparsity == Approx(22.0 / 35));  // of (5, 3) and (4, 5)
}

TEST_CASE("DS-CNN gives the golden logits and accuracy") {
    PARE_DATA_OR_SKIP(folder, "mlperf_tiny");
    loaded net(folder / "ds_cnn_kws.safetensors");
    const vision::images images = net.read(folder / "kws01_test1000.bin");
    const vision::model dense = net.make("dense");
    CHECK(max_abs_error(vision::logits_of(dense, images),
                        tensor_of(folder / "ds_cnn_golden_logits_test1000.safetensors", "logits")) <
          1e-3);
    CHECK(vision::evaluate(dense, images).top1 == 0.913);
}

TEST_CASE("ResNet-8 gives the golden probabilities and accuracy") {
    PARE_DATA_OR_SKIP(folder, "mlperf_tiny");
    PARE_DATA_OR_SKIP(data, "cifar10/cifar10_test1000.bin");
    loaded net(folder / "resnet8_cifar10.safetensors");
    const vision::images images = net.read(data);
    const vision::model dense = net.make("dense");
    std::vector<float> found = vision::logits_of(dense, images);
    for (std::size_t i = 0; i < images.size(); ++i) {
        double sum = 0.0;
        const auto row = std::span(found).subspan(10 * i, 10);
        for (float& v : row) sum += static_cast<double>(v = std::exp(v));
        for (float& v : row) v = static_cast<float>(static_cast<double>(v) / sum);
    }
    CHECK(max_abs_error(found, tensor_of(folder / "resnet8_golden_probs_test1000.safetensors",
                                         "probs")) < 1e-3);
    CHECK(vision::evaluate(dense, images).top1 == 0.881);
}

TEST_CASE("LeNet reads 9905 of the 10000 digits of MNIST's test set") {
    PARE_DATA_OR_SKIP(folder, "lenet_mnist");
    loaded net(folder / "lenet_caffe.safetensors");
    const vision::images images = net.read(folder / "t10k-images-idx3-ubyte");
    CHECK(images.size() == 10000);
    CHECK(vision::evaluate(net.make("dense"), images).top1 == 0.9905);
}

TEST_CASE("norms that are folded into the weights cannot be estimated again") {
    const model_and_data files(small_resnet8(), random_records(3, 3072, 3));
    const vision::options o{.model = files.model,
                            .data = files.data,
                            .calibration = files.data,
                            .json = "",
                            .recipes = {tools::parse_recipe("dense")},
                            .keep_dense = {},
                            .reestimate_norms = true,
                            .limit = 3,
                            .threads = 1};
    CHECK_THROWS_WITH(vision::run(o), Catch::Contains("--reestimate-bn") &&
                                          Catch::Contains("folded into its weights"));
}

TEST_CASE("other networks are refused by the name of what is wrong") {
    tensors t;
    std::string named;
    SECTION("a kernel of another size") {
        t = small_ds_cnn();
        t["dw2.weight"] = {{4, 1, 3, 3}, std::vector<float>(36)};
        named = "dw2.weight' is (4, 1, 3, 3), not (5, 1, 3, 3)";
    }
    SECTION("no bias") {
        t = small_ds_cnn();
        t.erase("pw1.bias");
        named = "'pw1.bias' is missing of a DS-CNN";
    }
    SECTION("a pair too many") {
        t = small_ds_cnn();
        t["dw4.weight"] = {{4, 1, 3, 3}, std::vector<float>(36)};
        named = "'dw4.weight' is no part of a DS-CNN";
    }
    SECTION("a shortcut of other channels") {
        t = small_resnet8();
        t["n06.conv.weight"] = {{5, 2, 1, 1}, std::vector<float>(10)};
        t["n06.conv.bias"] = {{5}, std::vector<float>(5)};
        named = "does not add maps of 5 channels to 4";
    }
    SECTION("a flat kernel") {
        t = small_resnet8();
        t["n00.conv.weight"] = {{2, 27}, std::vector<float>(54)};
        named = "'n00.conv.weight' is no convolution's";
    }
    SECTION("a kernel larger than the maps") {
        t = small_lenet();
        t["conv2.weight"] = {{4, 3, 13, 3}, std::vector<float>(468)};
        named = "'conv2.weight' covers more than the maps";
    }
    SECTION("another flattened size") {
        t = small_lenet();
        t["ip1.weight"] = {{6, 99}, std::vector<float>(594)};
        named = "ip1.weight' is (6, 99), not (6, 100)";
    }
    SECTION("a norm that is no number") {
        t = small_resnet();
        t["layer1.0.bn1.running_var"].values[1] = std::numeric_limits<float>::quiet_NaN();
        named = "layer1.0.bn1.running_var: not a finite number";
    }
    const model_and_data files(t, "");
    CHECK_THAT(refusal(files.model, files.data), Catch::Contains(named));
}

TEST_CASE("idx files that are none are refused with a sentence") {
    const lenet_files files(3);
    const auto why = [&] { return refusal(files.model, files.images); };
    REQUIRE(why().empty());
    std::string named, images = read_text(files.images), labels = read_text(files.labels);
    SECTION("no labels") {
        std::filesystem::remove(files.labels);
        CHECK_THAT(why(), Catch::Contains("few-labels-idx1-ubyte"));
        return;
    }
    SECTION("empty") {
        images = "";
        named = "no idx file of unsigned bytes with 3 extents";
    }
    SECTION("another type") {
        images[2] = 0x0d;
        named = "no idx file";
    }
    SECTION("labels for images") {
        images = labels;
        named = "no idx file";
    }
    SECTION("another extent") {
        images[15] = 27;
        named = "an extent of 27, and the model reads 28";
    }
    SECTION("cut short") {
        images.pop_back();
        named = "promises 3 elements of 784 bytes, and 2351 bytes follow";
    }
    SECTION("no images") {
        images = header({0x803, 0, 28, 28});
        named = "promises 0 elements";
    }
    SECTION("a label too few") {
        labels = header({0x801, 2}) + "\1\1";
        named = "3 images, and 2 labels";
    }
    SECTION("a class that the model does not know") {
        labels.back() = 3;
        named = "image 2 is of class 3, and the model has 3";
    }
    write_text(files.images, images);
    write_text(files.labels, labels);
    CHECK_THAT(why(), Catch::Contains(named));
}
