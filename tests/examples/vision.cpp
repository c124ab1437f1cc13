// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "vision/model.hpp"

#include "common/error.hpp"
#include "common/tensors.hpp"
#include "examples/model_file.hpp"
#include "io/files.hpp"
#include "support/catch.hpp"
#include "support/data.hpp"
#include "support/metrics.hpp"
#include "vision/calibrate.hpp"
#include "vision/evaluate.hpp"
#include "vision/run.hpp"

#include <nlohmann/json.hpp>
#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;
using pare::testing::max_abs_error, pare::testing::temporary_folder, pare::testing::tensors;

constexpr std::size_t all = std::numeric_limits<std::size_t>::max();
const std::set<std::string> ends{"conv1", "linear"};

/// A checkpoint and the models made of it.
struct loaded {
    explicit loaded(const fs::path& path) : source(path) {}
    vision::model make(const std::string& recipe, const vision::layer_statistics& seen = {},
                       const std::set<std::string>& dense = ends) {
        return {source, tools::parse_recipe(recipe), dense, seen, run};
    }
    vision::images read(const fs::path& file, std::size_t most = all) const {
        return vision::read_records(file, source.architecture(), most);
    }
    vision::checkpoint source;
    pare::thread_pool run{2};
};

// ResNet-8 of 2, 4 and 8 channels, 3 classes; variances are positive.
tensors small_model() {
    pare::random random(5);
    tensors t;
    const auto add = [&](const std::string& name, std::vector<std::size_t> shape) {
        t[name] = pare::testing::random_tensor(std::move(shape), random);
    };
    const auto add_convolution = [&](const std::string& at, const std::string& n, std::size_t in,
                                     std::size_t out) {
        add(at + "conv" + n + ".weight", {out, in, 3, 3});
        for (const char* const part : {".weight", ".bias", ".running_mean", ".running_var"})
            add(at + "bn" + n + part, {out});
        for (float& v : t[at + "bn" + n + ".running_var"].values) v = 1.0f + v * v;
    };
    add_convolution("", "1", 3, 2);
    for (std::size_t s = 1, in = 2; s <= 3; ++s) {
        const std::size_t out = std::size_t{1} << s;
        const std::string at = "layer" + std::to_string(s) + ".0.";
        add_convolution(at, "1", in, out);
        add_convolution(at, "2", out, out);
        in = out;
    }
    add("linear.weight", {3, 8});
    add("linear.bias", {3});
    return t;
}

std::string random_records(std::size_t n) {
    pare::random random(9);
    std::string bytes;
    for (std::size_t i = 0; i < n; ++i) {
        bytes += static_cast<char>(random.below(3));
        for (int p = 0; p < 3072; ++p) bytes += static_cast<char>(random.below(256));
    }
    return bytes;
}

// The network by its definition, in double, pixel by pixel. Maps are (image, channel, y, x).
struct maps {
    std::size_t n, channels, size;
    std::vector<double> values;

    maps(std::size_t images, std::size_t c, std::size_t s)
        : n(images), channels(c), size(s), values(images * c * s * s) {}
    double& at(std::size_t i, std::size_t c, std::size_t y, std::size_t x) {
        return values[((i * channels + c) * size + y) * size + x];
    }
};

class by_definition {
  public:
    by_definition(const tensors& t, bool norms_of_batch) : t_(t), norms_of_batch_(norms_of_batch) {}

    std::vector<float> logits(const vision::images& of) {
        constexpr double mean[] = {0.485, 0.456, 0.406}, deviation[] = {0.229, 0.224, 0.225};
        maps x(of.size(), 3, 32);
        for (std::size_t i = 0; i < x.values.size(); ++i)
            x.values[i] = (of.pixels[i] / 255.0 - mean[i / 1024 % 3]) / deviation[i / 1024 % 3];
        x = convolve(x, "", "1", 1);
        relu(x);
        for (const std::string at : {"layer1.0.", "layer2.0.", "layer3.0."}) {
            maps y = convolve(x, at, "1", at[5] == '1' ? 1 : 2);
            relu(y);
            y = convolve(y, at, "2", 1);
            const std::size_t stride = x.size / y.size, before = (y.channels - x.channels) / 2;
            for (std::size_t i = 0; i < y.n; ++i)
                for (std::size_t c = 0; c < x.channels; ++c)
                    for (std::size_t v = 0; v < y.size; ++v)
                        for (std::size_t u = 0; u < y.size; ++u)
                            y.at(i, before + c, v, u) += x.at(i, c, v * stride, u * stride);
            relu(y);
            x = y;
        }
        std::vector<float> found;
        for (std::size_t i = 0; i < x.n; ++i)
            for (std::size_t k = 0; k < 3; ++k) {
                double sum = value("linear.bias", k);
                for (std::size_t c = 0; c < 8; ++c)
                    for (std::size_t p = 0; p < 64; ++p)
                        sum += value("linear.weight", k * 8 + c) * x.at(i, c, p / 8, p % 8) / 64;
                found.push_back(static_cast<float>(sum));
            }
        return found;
    }

  private:
    double value(const std::string& name, std::size_t i) const {
        return static_cast<double>(t_.at(name).values[i]);
    }
    static void relu(maps& x) {
        for (double& v : x.values) v = std::max(v, 0.0);
    }
    maps convolve(maps& x, const std::string& at, const std::string& n, std::size_t stride) const {
        const std::string conv = at + "conv" + n + ".weight";
        maps y(x.n, t_.at(conv).shape[0], x.size / stride);
        for (std::size_t i = 0; i < y.n; ++i)
            for (std::size_t c = 0; c < y.channels; ++c)
                for (std::size_t p = 0; p < y.size * y.size; ++p)
                    for (std::size_t k = 0; k < x.channels * 9; ++k) {
                        const std::size_t v = p / y.size * stride + k % 9 / 3,
                                          u = p % y.size * stride + k % 3;
                        if (v >= 1 && v <= x.size && u >= 1 && u <= x.size)
                            y.at(i, c, p / y.size, p % y.size) +=
                                value(conv, c * x.channels * 9 + k) * x.at(i, k / 9, v - 1, u - 1);
                    }
        normalise(y, at + "bn" + n);
        return y;
    }
    void normalise(maps& y, const std::string& norm) const {
        const std::size_t pixels = y.size * y.size;
        for (std::size_t c = 0; c < y.channels; ++c) {
            double mean = value(norm + ".running_mean", c),
                   variance = value(norm + ".running_var", c);
            const auto for_each = [&](auto&& visit) {
                for (std::size_t i = 0; i < y.n * pixels; ++i)
                    visit(y.values[(i / pixels * y.channels + c) * pixels + i % pixels]);
            };
            if (norms_of_batch_) {
                const auto count = static_cast<double>(y.n * pixels);
                mean = variance = 0.0;
                for_each([&](double v) { mean += v / count; });
                for_each([&](double v) { variance += (v - mean) * (v - mean) / count; });
            }
            for_each([&](double& v) {
                v = (v - mean) / std::sqrt(variance + 1e-5) * value(norm + ".weight", c) +
                    value(norm + ".bias", c);
            });
        }
    }

    const tensors& t_;
    bool norms_of_batch_;
};

double largest(const std::vector<float>& x) {
    double most = 0.0;
    for (const float v : x) most = std::max(most, std::abs(static_cast<double>(v)));
    return most;
}

/// The small model and 20 images, in files.
struct small_files {
    explicit small_files(const tensors& t = small_model()) {
        pare::testing::write_model(model, t, "");
        pare::testing::write_text(data, random_records(20));
    }
    temporary_folder folder;
    std::string model = folder / "small.safetensors", data = folder / "small.bin";
};

std::string refusal(const std::string& model, const std::string& data) {
    try {
        const vision::checkpoint source(model);
        vision::read_records(data, source.architecture(), all);
    } catch (const tools::failure& e) {
        return e.what();
    }
    return "";
}

// Logits are sums of a few dozen products, seven times in a row, each of them rounded.
constexpr double rounding = 1e-5;

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
    const tensors t = small_model();
    const small_files files(t);
    loaded net(files.model);
    const vision::images images = net.read(files.data);
    REQUIRE(images.size() == 20);
    const std::vector<float> found = vision::logits_of(net.make("dense"), images);
    const std::vector<float> expected = by_definition(t, false).logits(images);
    CHECK(max_abs_error(found, expected) < rounding * largest(expected));

    pare::thread_pool alone(1);
    const vision::model single(net.source, {}, ends, {}, alone);
    CHECK(vision::logits_of(single, images) == found);
}

TEST_CASE("norms estimated again are those of the images, layer after layer") {
    tensors t = small_model();
    for (auto& [name, tensor] : t)  // what training knew is of no use
        if (name.ends_with(".running_mean") || name.ends_with(".running_var"))
            for (float& v : tensor.values) v *= 1000.0f;
    const small_files files(t);
    loaded net(files.model);
    const vision::images images = net.read(files.data);
    vision::model dense = net.make("dense");
    const std::vector<float> expected = by_definition(t, true).logits(images);
    CHECK(max_abs_error(vision::logits_of(dense, images), expected) > 0.1 * largest(expected));
    dense.reestimate_norms(images);
    CHECK(max_abs_error(vision::logits_of(dense, images), expected) <
          10 * rounding * largest(expected));
}

TEST_CASE("patches are what the kernel covers, zeros where it leaves the image") {
    const vision::extents in{2, 5, 4};
    struct shape {
        vision::window kernel;
        std::size_t height, width;  // of the output
    };
    const auto [kernel, height, width] = GENERATE(
        shape{{3, 3, 1, 1, 1}, 5, 4}, shape{{3, 3, 2, 1, 1}, 3, 2}, shape{{3, 3, 2, 0, 0}, 3, 2},
        shape{{1, 1, 2, 0, 0}, 3, 2}, shape{{5, 2, 1, 2, 0}, 5, 4}, shape{{2, 7, 3, 0, 3}, 2, 2},
        shape{{1, 9, 1, 0, 8}, 5, 4});
    CAPTURE(kernel.height, kernel.width, kernel.stride, kernel.top, kernel.left);
    const vision::extents out{0, height, width};
    constexpr std::size_t n = 3;
    std::vector<float> x(2 * n * 20);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i + 1);
    const std::size_t rows = 2 * kernel.size(), cols = n * out.pixels();
    std::vector<float> found(rows * cols, -1.0f), expected(rows * cols);
    for (std::size_t r = 0; r < rows; ++r)
        for (std::size_t p = 0; p < cols; ++p) {
            const std::size_t pixel = p % out.pixels();
            const std::size_t v = pixel / width * kernel.stride + r % kernel.size() / kernel.width,
                              u = pixel % width * kernel.stride + r % kernel.width;
            if (v < kernel.top || v >= kernel.top + 5 || u < kernel.left || u >= kernel.left + 4)
                continue;
            expected[r * cols + p] = x[r / kernel.size() * n * 20 + p / out.pixels() * 20 +
                                       (v - kernel.top) * 4 + u - kernel.left];
        }
    pare::thread_pool run(2);
    vision::gather_patches(kernel, in, out, {x.data(), 2, n * 20}, {found.data(), rows, cols}, run);
    CHECK(found == expected);
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
    tensors t = small_model();
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

TEST_CASE("a run writes its table as JSON") {
    const small_files files;
    vision::options o{
        .model = files.model,
        .data = files.data,
        .calibration = files.data,
        .json = files.folder / "table.json",
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

    o.keep_dense = {{"conv1", "fc"}};
    CHECK_THROWS_WITH(vision::run(o),
                      Catch::Contains("no layer 'fc'") && Catch::Contains("linear"));
}

TEST_CASE("a model that is not understood is refused by the name of what is wrong") {
    tensors t = small_model();
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
        named = "conv1.weight";
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
