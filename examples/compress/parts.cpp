// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "parts.hpp"

#include "common/error.hpp"
#include "common/model_file.hpp"
#include "common/report.hpp"
#include "hash.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <system_error>
#include <vector>

namespace compressor {

namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

constexpr const char* whole_name = "whole.safetensors";
constexpr const char* layer_extension = ".safetensors";
constexpr const char* record_extension = ".json";

// The folder's name may be that of somebody's own.
bool is_ours(const std::string& name) {
    constexpr std::size_t n_digits = 16;
    return name.starts_with(whole_name) || name.find_first_not_of("0123456789abcdef") == n_digits;
}

// None: the file cannot be read.
std::optional<std::uint64_t> checksum_of(const fs::path& file) {
    const auto opened = pare::io::mapped_file::open(file.c_str());
    if (!opened) return std::nullopt;
    return hash_of(opened->bytes());
}

}  // namespace

parts::~parts() {
    if (lock_ < 0) return;
    std::error_code none_or_not_empty;
    fs::remove(folder_, none_or_not_empty);
    ::close(lock_);
}

void parts::claim() {
    std::error_code why;
    fs::create_directory(folder_, why);
    if (why) throw tools::failure(folder_.string() + ": " + why.message());
    lock_ = ::open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (lock_ < 0) throw tools::failure(folder_.string() + ": " + std::strerror(errno));
    if (::flock(lock_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
        throw tools::failure(folder_.string() + ": another run is at work in it");
    remove_files(false);
}

fs::path parts::file(const part_name& name, const char* extension) const {
    const auto bytes = [](std::string_view text) { return std::as_bytes(std::span(text)); };
    return folder_ /
           (in_hex(hash_of(bytes(name.recipe.text), hash_of(bytes(name.tensor)))) + extension);
}

std::optional<measured> parts::find(const part_name& name, const std::string& key) const {
    std::ifstream in(file(name, record_extension));
    const ordered_json record = ordered_json::parse(in, nullptr, false);
    try {
        if (record.at("tensor") != name.tensor || record.at("recipe") != name.recipe.text ||
            record.at("key") != key)
            return std::nullopt;
        const measured is{{.bytes = record.at("bytes"),
                           .bits_per_weight = record.at("bits_per_weight"),
                           .sparsity = record.at("sparsity"),
                           .retained = record.at("retained_saliency")},
                          record.at("error")};
        if (checksum_of(file(name, layer_extension)) != record.at("checksum").get<std::uint64_t>())
            return std::nullopt;
        return is;
    } catch (const ordered_json::exception&) {
        return std::nullopt;
    }
}

void parts::save(const part_name& name, const std::string& key, const tools::linear& layer,
                 std::span<const std::size_t> shape, const measured& is) const {
    const fs::path path = file(name, layer_extension);
    pare::io::safetensors_writer out(path.native());
    tools::save_layer(out, name.tensor, layer, shape, name.recipe.text);
    tools::value_of(out.commit(), path);
    const auto checksum = checksum_of(path);
    if (!checksum) throw tools::failure(path.string() + ": it cannot be read again");
    tools::write_json(file(name, record_extension), {{"tensor", name.tensor},
                                                     {"recipe", name.recipe.text},
                                                     {"key", key},
                                                     {"bytes", is.report.bytes},
                                                     {"bits_per_weight", is.report.bits_per_weight},
                                                     {"sparsity", is.report.sparsity},
                                                     {"retained_saliency", is.report.retained},
                                                     {"error", is.error},
                                                     {"checksum", *checksum}});
}

pare::io::safetensors_reader parts::open(const part_name& name) const {
    const fs::path path = file(name, layer_extension);
    return tools::value_of(pare::io::safetensors_reader::open(path.c_str()), path);
}

void parts::remove_files(bool finished_ones) const {
    std::vector<fs::path> files;
    for (const fs::directory_entry& entry : fs::directory_iterator(folder_)) {
        const fs::path& path = entry.path();
        if (is_ours(path.filename()) && (finished_ones || path.extension() == ".part"))
            files.push_back(path);
    }
    for (const fs::path& path : files) fs::remove(path);
}

std::string parts::whole() const { return folder_ / whole_name; }

void parts::remove() const { remove_files(true); }

}  // namespace compressor
