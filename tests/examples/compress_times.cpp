// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "compress/times.hpp"

#include "common/model_file.hpp"
#include "compress_runs.hpp"

#include <nlohmann/json.hpp>

#include <string>

// Recipes that pare_compress chooses within a budget of time, by times that a test made up.

namespace {

using namespace pare::testing;

std::string field(double dense, double sparse) {
    return R"("field": [{"recipe": "dense", "seconds": )" + std::to_string(1e-6 * dense) +
           R"(}, {"recipe": "nm:2:4+f32", "seconds": )" + std::to_string(1e-6 * sparse) + "}]";
}

const std::string two_settings =
    R"([{"shape": [16, 64], "dtype": "F32", "settings": [
        {"tokens": 1, "threads": 1, )" +
    field(2, 1) + R"(}, {"tokens": 64, "threads": 1, )" + field(9, 8) + "}]}]";

// Of three layers of a shape 2:4 costs b nothing.
struct timed_file : small_file {
    timed_file() : small_file(layers()) { write_text(folder / "times.json", two_settings); }

    static tensors layers() {
        pare::random random(7);
        tensors t;
        for (const char* const name : {"a.weight", "b.weight", "c.weight"})
            t[name] = random_tensor({16, 64}, random);
        for (std::size_t i = 0; i < t["b.weight"].values.size(); ++i)
            if (i % 4 > 1) t["b.weight"].values[i] = 0.0f;
        return t;
    }
    std::string run(const std::string& budget,
                    const std::string& recipes = R"("dense", "nm:2:4+f32")") {
        const std::string file = folder / "recipes.json";
        write_text(file, R"({"recipe": [)" + recipes + R"(], "budget": {)" + budget + "}}");
        return refusal({in, out, "--force", "--recipe-file", file, "--json", folder / "table.json",
                        "--html", folder / "report.html"});
    }
    /// The layers that are compressed.
    std::string chosen(const std::string& budget) {
        REQUIRE(run(budget) == "");
        std::string names;
        const tools::model_file written(out);
        for (const auto& [name, one] : written.tensors())
            if (one.is_compressed()) names += name[0];
        return names;
    }
};

}  // namespace

TEST_CASE("within a budget of time the recipes with the least error are chosen") {
    timed_file f;
    const auto at_speed = [&](const std::string& speed, const std::string& tokens = "1") {
        return f.chosen(R"("speed": )" + speed + R"(, "times": "times.json", "tokens": )" + tokens);
    };
    CHECK(at_speed("1") == "b");  // faster for nothing
    CHECK(at_speed("1.2") == "b");
    CHECK(at_speed("1.21").size() == 2);
    CHECK(at_speed("1.5").size() == 2);
    CHECK(at_speed("2") == "abc");
    CHECK(at_speed("1.03", "64") == "b");
    CHECK(at_speed("1.12", "64") == "abc");
    const auto table = nlohmann::json::parse(read_text(f.folder / "table.json"));
    CHECK(table[0].at("seconds").get<double>() == Approx(8e-6));
    CHECK(f.run(R"("speed": 2.01, "times": "times.json", "tokens": 1)") ==
          "budget: the cheapest candidates of the layers take 3.00 microseconds, of 2.99 "
          "microseconds for them");
}

TEST_CASE("how weights are chosen and rounded does not matter to their time") {
    timed_file f;
    CHECK(f.run(R"("speed": 2, "times": "times.json", "tokens": 1)",
                R"("f32+magnitude+nm:2:4", "dense")") == "");
    CHECK_THAT(f.run(R"("speed": 2, "times": "times.json", "tokens": 1)", R"("dense", "nm:2:4")"),
               Catch::EndsWith("times.json: no time of 16x64 F32 by 'nm:2:4'"));
}

TEST_CASE("whatever is slower than dense fits a speed near 0") {
    timed_file f;
    CHECK(f.chosen(R"("speed": 1e-300, "times": "times.json", "tokens": 1)") == "b");
}

TEST_CASE("a candidate that a layer's shape does not allow needs no time") {
    timed_file f;
    tensors t = timed_file::layers();
    pare::random random(8);
    t["d.weight"] = random_tensor({2, 64}, random);
    write_model(f.in, t, "");
    const auto field = [](const std::string& recipes) {
        return R"("settings": [{"tokens": 1, "threads": 1, "field": [{"recipe": "dense",
                  "seconds": 2e-6})" +
               recipes + "]}]}";
    };
    write_text(f.folder / "times.json", R"([{"shape": [16, 64], "dtype": "F32", )" +
                                            field(R"(, {"recipe": "ubp:4:0.5", "seconds": 1e-6})") +
                                            R"(, {"shape": [2, 64], "dtype": "F32", )" + field("") +
                                            "]");
    const std::string times = R"("speed": 1.3, "times": "times.json")";
    CHECK(f.run(times, R"("dense", "ubp:4:0.5")") == "");
    CHECK_THAT(f.run(times, R"("dense", "block:4:0.5")"),
               Catch::EndsWith("no time of 16x64 F32 by 'block:4:0.5'"));
}

TEST_CASE("a run by times of inputs of 8 bits says so") {
    timed_file f;
    const std::string inputs = GENERATE("i8", "f32");
    write_text(f.folder / "times.json",
               R"([{"shape": [16, 64], "dtype": "F32", "settings": [{"tokens": 1, "threads": 1,
                    "field": [{"recipe": "dense", "activations": "f32", "seconds": 2e-6},
                              {"recipe": "i8", "activations": ")" +
                   inputs + R"(", "seconds": 1e-6}]}]}])");
    REQUIRE(f.run(R"("speed": 2, "times": "times.json")", R"("dense", "i8")") == "");
    const std::string report = read_text(f.folder / "report.html");
    CHECK_THAT(report, Catch::Contains("products 2.00x as fast as dense"));
    CHECK((report.find(", with inputs of 8 bits") != report.npos) == (inputs == "i8"));
}

TEST_CASE("times that are not there are asked for by name") {
    timed_file f;
    const std::string times = R"("speed": 1.5, "times": "times.json")";
    CHECK_THAT(f.run(times), Catch::Contains("it has several settings"));
    CHECK_THAT(f.run(times + R"(, "threads": 1)"), Catch::Contains("it has several settings"));
    CHECK_THAT(f.run(times + R"(, "tokens": 2)"), Catch::EndsWith("it has no such setting"));
    const auto with = [&](const std::string& text) {
        write_text(f.folder / "times.json", text);
        return f.run(times);
    };
    const auto shape = [&](const std::string& extents, const std::string& times_of) {
        return R"({"shape": )" + extents +
               R"(, "dtype": "F32", "settings": [{"tokens": 1, "threads": 1, )" + times_of + "}]}";
    };
    const auto with_shapes = [&](const std::string& shapes) {
        return with(std::string("[").append(shapes).append("]"));
    };
    CHECK_THAT(with_shapes(shape("[16, 65]", field(2, 1))),
               Catch::EndsWith("no time of 16x64 F32 by 'dense'"));
    CHECK_THAT(with_shapes(shape("[16, 64]", R"("field": [{"recipe": "dense", "seconds": 1}])") +
                           "," + shape("[8, 8]", field(2, 1))),
               Catch::EndsWith("no time of 16x64 F32 by 'nm:2:4+f32'"));
    CHECK_THAT(
        with_shapes(shape("[16, 64]", R"("field": [{"recipe": "nm:2:4+f32", "seconds": 1}])") +
                    "," + shape("[8, 8]", field(2, 1))),
        Catch::EndsWith("no time of 16x64 F32 by 'dense'"));
    for (const double seconds : {0.0, 1e10})
        CHECK_THAT(with_shapes(shape("[16, 64]", field(2, seconds))),
                   Catch::EndsWith("a time that is not above 0 and up to 1000 s"));
    for (const char* const other : {"", "{", "{}", "[1]", "[]", R"([{"shape": 1}])"})
        CHECK(with(other) != "");
    CHECK_FALSE(std::filesystem::exists(f.out));
    CHECK_FALSE(std::filesystem::exists(f.out + ".parts"));  // no layer was compressed

    const auto refused = [&](const std::string& budget) { return f.run(budget); };
    CHECK_THAT(refused(R"("speed": 2)"),
               Catch::EndsWith("'speed' needs 'times', a file of pare_tune --json"));
    CHECK_THAT(refused(R"("speed": 0, "times": "t")"),
               Catch::Contains("budget.speed: not a number"));
    CHECK_THAT(refused(R"("bytes": 9000, "times": "t")"), Catch::Contains("need 'speed'"));
    CHECK_THAT(refused(R"("speed": 2, "bytes": 9000, "times": "t")"),
               Catch::Contains("takes one of"));
    CHECK_THAT(refused(R"("speed": 2, "times": "none")"),
               Catch::EndsWith("none: it cannot be opened"));
}
