// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "vision/channels.hpp"

#include "common/tensors.hpp"
#include "small_networks.hpp"
#include "support/catch.hpp"
#include "support/data.hpp"
#include "vision/evaluate.hpp"
#include "vision/repair.hpp"
#include "vision/run.hpp"
#include "vision/select_channels.hpp"

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace pare::testing;
using tools::channel_recipe;

// A network and what is left of it.
struct cut_network {
    cut_network(const std::filesystem::path& file, const channel_recipe& r)
        : whole(file), channels(vision::channels_of(whole.architecture())),
          kept(vision::select_channels(whole, channels, r, {}, run)),
          smaller(vision::cut(whole, channels, kept)) {}

    // The whole network, whose removed channels give zero.
    vision::checkpoint masked() const {
        const vision::architecture& a = whole.architecture();
        vision::dense_tensors tensors = read_tensors(whole);
        for (std::size_t i = 0; i < a.steps.size(); ++i) {
            const auto* const c = std::get_if<vision::convolution>(&a.steps[i].what);
            if (c == nullptr) continue;
            const auto classes = channels.graph.classes(channels.writes[i]);
            for (auto& [name, t] : tensors) {
                if ((!name.starts_with(c->name + ".") &&
                     (c->norm.empty() || !name.starts_with(c->norm + "."))) ||
                    name.ends_with("running_var"))
                    continue;
                const std::size_t each = t.values.size() / classes.size();
                for (std::size_t e = 0; e < t.values.size(); ++e)
                    if (kept[classes[e / each]] == 0) t.values[e] = 0.0f;
            }
        }
        return {whole.name(), a, std::move(tensors)};
    }
    vision::model dense(const vision::checkpoint& c) { return {c, {}, {}, {}, run}; }

    pare::thread_pool run{2};
    vision::checkpoint whole;
    vision::network_channels channels;
    std::vector<std::uint8_t> kept;
    vision::checkpoint smaller;
};

void check_cut(const std::filesystem::path& file, const std::filesystem::path& data,
               const channel_recipe& r) {
    CAPTURE(file.string(), r.share);
    cut_network n(file, r);
    const vision::images images = vision::read_images(data, n.whole.architecture(), 40);
    const auto logits = [&](const vision::checkpoint& c) {
        return vision::logits_of(n.dense(c), images);
    };
    const std::vector<float> found = logits(n.smaller), expected = logits(n.masked());
    CHECK(max_abs_error(found, expected) < 1e-5 * largest(expected));
    CHECK(max_abs_error(found, logits(n.whole)) > 1e-3 * largest(expected));
    const std::size_t left = n.smaller.architecture().multiply_adds();
    CHECK(left == n.channels.graph.multiply_adds(n.kept));
    CHECK(static_cast<double>(left) <=
          (1.0 - r.share) * static_cast<double>(n.whole.architecture().multiply_adds()));
}

struct small_files : model_and_data {
    small_files() : model_and_data(small_resnet(), random_records(20, 3072, 3)) {}
};

constexpr channel_recipe half{.share = 0.5};

}  // namespace

TEST_CASE("a small network that was cut computes what it does with those channels at zero") {
    const auto check = [](const tensors& t, std::size_t image_bytes, std::size_t n_classes) {
        const model_and_data files(t, random_records(20, image_bytes, n_classes));
        check_cut(files.model, files.data, half);
    };
    check(small_resnet(), 3072, 3);
    check(small_resnet8(), 3072, 3);
    check(small_ds_cnn(), 490, 2);
}

TEST_CASE("a network that was cut computes what it does with those channels at zero") {
    using enum tools::scope_kind;
    for (const auto& [model, data] :
         {std::pair("resnet_cifar10/resnet20.safetensors", "cifar10/cifar10_test1000.bin"),
          std::pair("mlperf_tiny/ds_cnn_kws.safetensors", "mlperf_tiny/kws01_test1000.bin"),
          std::pair("lenet_mnist/lenet_caffe.safetensors", "lenet_mnist/t10k-images-idx3-ubyte")}) {
        PARE_DATA_OR_SKIP(file, model);
        PARE_DATA_OR_SKIP(images, data);
        check_cut(file, images, {.share = 0.3, .scope = layer});
        check_cut(file, images, {.share = 0.3, .scope = global});
        check_cut(file, images, {.share = 0.5, .scope = group, .multiple = 4});
    }
}

TEST_CASE("a network that was cut computes that by whatever criterion") {
    using enum tools::criterion_kind;
    for (const auto& [model, criterion] :
         {std::pair("resnet_cifar10/resnet20.safetensors", bn_gamma),
          std::pair("resnet_cifar10/resnet32.safetensors", l2),
          std::pair("resnet_cifar10/resnet44.safetensors", geometric_median)}) {
        PARE_DATA_OR_SKIP(file, model);
        PARE_DATA_OR_SKIP(images, "cifar10/cifar10_test1000.bin");
        check_cut(file, images, {.criterion = criterion, .share = 0.5});
    }
}

TEST_CASE("counts of channels are rounded up to a multiple") {
    PARE_DATA_OR_SKIP(file, "mlperf_tiny/ds_cnn_kws.safetensors");
    const cut_network n(file, {.share = 0.3, .multiple = 8});
    for (const vision::step& s : n.smaller.architecture().steps)
        if (s.out.channels != 12) CHECK(s.out.channels % 8 == 0);
}

TEST_CASE("a cut network that is saved is read again with the same logits, compressed or not") {
    const small_files files;
    cut_network n(files.model, half);
    const vision::images images = vision::read_images(files.data, n.whole.architecture(), 20);
    const std::string recipe = GENERATE("dense", "nm:2:4");
    const bool estimated = GENERATE(false, true);
    vision::model m(n.smaller, tools::parse_recipe(recipe), {"conv1", "linear"}, {}, n.run);
    if (estimated) m.reestimate_norms(images);
    const std::filesystem::path file = files.folder / "cut.safetensors";
    m.save(file);
    const vision::checkpoint again(file);
    CHECK(again.has_compressed() == (recipe != "dense"));
    CHECK(again.architecture().multiply_adds() == n.smaller.architecture().multiply_adds());
    CHECK(vision::logits_of(n.dense(again), images) == vision::logits_of(m, images));
}

TEST_CASE("a shortcut that does not fit is refused") {
    const small_files files;
    cut_network n(files.model, half);
    vision::architecture a = n.smaller.architecture();
    for (vision::step& s : a.steps)
        if (auto* const r = std::get_if<vision::residual>(&s.what)) r->front = 9;
    const vision::checkpoint bad("bad", a, read_tensors(n.smaller));
    const std::filesystem::path file = files.folder / "bad.safetensors";
    n.dense(bad).save(file);
    CHECK_THROWS_WITH(vision::checkpoint(file), Catch::Contains("does not add maps"));
}

TEST_CASE("repair gives a cut ResNet-20 much of its accuracy back") {
    PARE_DATA_OR_SKIP(model, "resnet_cifar10/resnet20.safetensors");
    PARE_DATA_OR_SKIP(data, "cifar10/cifar10_test1000.bin");
    PARE_DATA_OR_SKIP(calibration, "cifar10/cifar10_train2000_calib.bin");
    cut_network n(model, {.share = 0.3});
    const auto read = [&](const std::filesystem::path& file) {
        return vision::read_images(file, n.whole.architecture(), 300);
    };
    const vision::images images = read(data);
    const auto top1 = [&](const vision::checkpoint& c) {
        return vision::evaluate(n.dense(c), images).top1;
    };
    CHECK(top1(n.smaller) < 0.55);
    const vision::images seen = read(calibration);
    CHECK(top1(vision::cut_and_repair(n.whole, n.channels, n.kept, seen, n.run)) > 0.75);
}

TEST_CASE("repair gives a cut chain of layers much of its accuracy back") {
    PARE_DATA_OR_SKIP(model, "mlperf_tiny/ds_cnn_kws.safetensors");
    PARE_DATA_OR_SKIP(data, "mlperf_tiny/kws01_test1000.bin");
    cut_network n(model, {.share = 0.3});
    const vision::images seen = vision::read_images(data, n.whole.architecture(), 200);
    const auto top1 = [&](const vision::checkpoint& c) {
        return vision::evaluate(n.dense(c), seen).top1;
    };
    CHECK(top1(n.smaller) < 0.4);
    CHECK(top1(vision::cut_and_repair(n.whole, n.channels, n.kept, seen, n.run)) > 0.8);
}

TEST_CASE("a repaired network of any kind is nearer to the whole one than one that was cut") {
    const tensors made = GENERATE(small_resnet(), small_ds_cnn(), small_resnet8(), small_lenet());
    const model_and_data files(made, "");
    cut_network n(files.model, {.share = 0.3});
    CAPTURE(n.whole.architecture().name);
    const vision::images images = random_images(n.whole.architecture(), 200);
    const auto logits = [&](const vision::checkpoint& c) {
        return vision::logits_of(n.dense(c), images);
    };
    const std::vector<float> whole = logits(n.whole);
    const auto off = [&](const vision::checkpoint& c) {
        return relative_l2_error(logits(c), whole);
    };
    const vision::checkpoint repaired =
        vision::cut_and_repair(n.whole, n.channels, n.kept, images, n.run);
    CHECK(repaired.architecture().multiply_adds() == n.smaller.architecture().multiply_adds());
    CHECK(off(repaired) < 0.5 * off(n.smaller));
    // Without losses there is nothing to repair, but for norms.
    const std::vector<std::uint8_t> all(n.kept.size(), 1);
    const vision::checkpoint same = vision::cut_and_repair(n.whole, n.channels, all, images, n.run);
    for (const auto& [name, t] : read_tensors(same))
        if (!name.ends_with("running_mean") && !name.ends_with("running_var"))
            CHECK(t.values == tools::read_floats(n.whole.tensor(name).dense()));
}

TEST_CASE("widths that come from elsewhere remove the share, or say that they cannot") {
    const tensors made = GENERATE(small_resnet(), small_ds_cnn(), small_resnet8(), small_lenet());
    const tools::scope_kind scope =
        GENERATE(tools::scope_kind::pagcp, tools::scope_kind::pre_cropping);
    const model_and_data files(made, "");
    pare::thread_pool run(2);
    const vision::checkpoint whole(files.model);
    const vision::architecture& a = whole.architecture();
    CAPTURE(a.name, static_cast<int>(scope));
    const vision::network_channels channels = vision::channels_of(a);
    const vision::images images = random_images(a, 40);
    const channel_recipe r{.share = 0.3, .scope = scope};
    const auto kept = vision::select_channels(whole, channels, r, images, run);
    const auto left = static_cast<double>(channels.graph.multiply_adds(kept));
    CHECK(left <= 0.7 * static_cast<double>(a.multiply_adds()));
    CHECK(vision::select_channels(whole, channels, r, images, run) == kept);
    CHECK_THROWS_WITH(
        vision::select_channels(whole, channels, {.share = 0.999, .scope = scope}, images, run),
        Catch::Contains("cannot be removed"));
}

TEST_CASE("a run cuts by any criterion, compresses what is left, and saves it") {
    const small_files files;
    vision::options o{
        .model = files.model,
        .data = files.data,
        .calibration = files.data,
        .json = files.folder / "table.json",
        .save = files.folder / "saved.safetensors",
        .recipes = {tools::parse_recipe("channel:activation:0.4+repair+nm:2:4+wanda")},
        .keep_dense = {},
        .limit = 7,
        .threads = 1};
    vision::run(o);
    const auto multiply_adds = [&](std::size_t row) {
        const auto table = nlohmann::json::parse(read_text(o.json));
        return table[row]["multiply_adds"].get<std::size_t>();
    };
    const vision::checkpoint whole(o.model), saved(o.save);
    CHECK(multiply_adds(0) == saved.architecture().multiply_adds());
    CHECK(5 * multiply_adds(0) <= 3 * whole.architecture().multiply_adds());
    CHECK(saved.has_compressed());

    o.recipes = {tools::parse_recipe("dense")};
    o.save = files.folder / "dense.safetensors";
    vision::run(o);
    CHECK_FALSE(vision::checkpoint(o.save).has_compressed());

    o.save = "";
    o.recipes.clear();
    for (const char* const words : {"l2:0.4", "bn_gamma:0.4", "taylor:0.4", "geometric_median:0.4",
                                    "l2:0.4:pagcp", "bn_gamma:0.4:pre_cropping"})
        o.recipes.push_back(tools::parse_recipe("channel:" + std::string(words)));
    vision::run(o);
    for (std::size_t i = 0; i < 6; ++i)
        CHECK(5 * multiply_adds(i) <= 3 * whole.architecture().multiply_adds());
}
