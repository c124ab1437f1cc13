// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "run.hpp"

#include "channels.hpp"
#include "choose.hpp"
#include "common/error.hpp"
#include "common/report.hpp"
#include "common/terminal.hpp"
#include "parts.hpp"
#include "report.hpp"

#include <pare/io/mapped_file.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <mutex>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace compressor {

namespace {

namespace fs = std::filesystem;

/// A tensor that stays dense, and its elements where they are not those of the source.
struct dense_tensor {
    std::vector<float> memory;
    pare::io::tensor_info info;
};

/// One run of the program, on one rank.
class job {
  public:
    job(const options& o, ranks& all) : o_(o), all_(all), parts_(o.out) {}

    void run();

  private:
    void prepare();
    void leave_dense(std::span<const tensor* const> tensors);
    void compress_own();
    void exchange();
    void settle();
    void write() const;
    void print() const;

    const options& o_;
    ranks& all_;
    parts parts_;
    std::optional<source> from_;
    std::optional<calibration> inputs_;
    channels_left channels_;
    std::optional<times> times_;  // within a budget of them
    std::vector<layer> layers_;
    std::vector<std::vector<measured>> measured_;  // (layers, candidates)
    std::vector<dense_tensor> dense_;
    std::vector<row> rows_;
};

std::size_t bytes_of(std::span<const dense_tensor> tensors) {
    std::size_t bytes = 0;
    for (const dense_tensor& t : tensors) bytes += t.info.bytes.size();
    return bytes;
}

bool are_equal(const std::string& a, const std::string& b) {
    const auto one = tools::value_of(pare::io::mapped_file::open(a.c_str()), a);
    const auto other = tools::value_of(pare::io::mapped_file::open(b.c_str()), b);
    return std::ranges::equal(one.bytes(), other.bytes());
}

// Calls fn(i) for each i. Where there are fewer than threads, a call has all of them to itself.
// What the first call that fails throws is thrown, and the rest is left out.
template <class Fn>
void for_each(std::size_t n, pare::thread_pool& threads, const Fn& fn) {
    std::mutex guard;
    std::size_t first = n;
    std::exception_ptr why;
    const auto one = [&](std::size_t i) noexcept {
        try {
            {
                const std::lock_guard lock(guard);
                if (why) return;
            }
            fn(i);
        } catch (...) {
            const std::lock_guard lock(guard);
            if (i >= first) return;
            first = i;
            why = std::current_exception();
        }
    };
    if (n < threads.size()) {
        for (std::size_t i = 0; i < n; ++i) one(i);
    } else {
        threads.parallel_for(n, 1, [&](std::size_t begin, std::size_t end) {
            for (std::size_t i = begin; i < end; ++i) one(i);
        });
    }
    if (why) std::rethrow_exception(why);
}

void job::run() {
    all_.share([&] { prepare(); });
    all_.share([&] { compress_own(); });
    exchange();
    if (all_.index() != 0) return;
    settle();
    if (!o_.dry_run) write();
    print();
    if (!o_.dry_run) parts_.remove();
}

// A file in the way is refused, but not yet where an interrupted run may just have written it.
void job::prepare() {
    if (all_.index() == 0 && !o_.dry_run && !o_.force && fs::exists(o_.out) && !parts_.exist())
        throw tools::failure(o_.out + ": exists already; --force replaces it");
    from_.emplace(o_.in);
    inputs_.emplace(o_.chosen.calibration);
    channels_ = cut_channels(from_->tensors(), o_.chosen.channels, *inputs_);
    const std::span<const tensor> tensors = from_->tensors();
    std::vector<candidates> recipes = plan(tensors, o_.chosen);
    std::vector<const tensor*> stay;
    for (std::size_t i = 0; i < recipes.size(); ++i) {
        const tensor& t = tensors[i];
        const bool is_dense = recipes[i].size() == 1 && is_dense_as_stored(recipes[i][0]);
        const bool is_cut = t.loss() != nullptr && is_matrix(t);  // what the table is to show
        if (is_dense && !is_cut) stay.push_back(&t);
        else layers_.push_back({t, std::move(recipes[i])});
    }
    if (all_.index() == 0) leave_dense(stay);
    if (o_.chosen.within && o_.chosen.within->speed) {
        times_.emplace(o_.chosen.within->times);
        check_timed(layers_, *times_);
    }
    if (layers_.empty())
        throw tools::failure(o_.in + ": no tensor of it is to be compressed; see --help");
    if (!o_.dry_run && all_.index() == 0) parts_.claim();
}

// Where channels left they are made anew.
void job::leave_dense(std::span<const tensor* const> tensors) {
    const std::size_t before = dense_.size();
    dense_.resize(before + tensors.size());
    pare::thread_pool threads(o_.threads);
    for_each(tensors.size(), threads, [&](std::size_t i) {
        dense_tensor& dense = dense_[before + i];
        dense.info = tensors[i]->read(dense.memory);
    });
}

// The largest first, dealt in turn.
void job::compress_own() {
    std::vector<std::size_t> order(layers_.size()), own;
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::ranges::stable_sort(order, std::ranges::greater(),
                             [&](std::size_t l) { return layers_[l].from.size(); });
    for (std::size_t i = all_.index(); i < order.size(); i += all_.size()) own.push_back(order[i]);

    std::size_t n_weights = 0;
    for (const std::size_t l : own) n_weights += layers_[l].from.size();
    pare::thread_pool threads(o_.threads);
    tools::progress bar("compressing", n_weights);
    std::mutex guard;
    measured_.resize(layers_.size());
    for_each(own.size(), threads, [&](std::size_t i) {
        const layer& l = layers_[own[i]];
        measured_[own[i]] = compress(l, *inputs_, o_.chosen.within.has_value(),
                                     o_.dry_run ? nullptr : &parts_, threads);
        const std::lock_guard lock(guard);
        bar.advance(l.from.size());
    });
}

void job::exchange() {
    std::vector<double> values;
    for (std::size_t l = 0; l < layers_.size(); ++l) {
        measured_[l].resize(layers_[l].recipes.size(), {{.retained = 0.0}});
        for (const auto& [report, error, refused] : measured_[l])
            values.insert(values.end(),
                          {static_cast<double>(report.bytes), report.bits_per_weight,
                           report.sparsity, report.retained, error, refused ? 1.0 : 0.0});
    }
    all_.add_up(values);
    const double* at = values.data();
    for (auto& candidates : measured_)
        for (measured& is : candidates) {
            is = {{static_cast<std::size_t>(at[0]), at[1], at[2], at[3]}, at[4], at[5] > 0.0};
            at += 6;
        }
}

// Layers that stay dense after all are added to those that do.
void job::settle() {
    std::vector<std::size_t> chosen(layers_.size(), 0);
    if (const auto& within = o_.chosen.within)
        chosen = choose(measured_,
                        times_ ? price_in_time(layers_, measured_, *within, *times_)
                               : price_in_bytes(layers_, measured_, *within, bytes_of(dense_)));
    std::vector<const tensor*> stay;
    for (std::size_t l = 0; l < layers_.size(); ++l) {
        const layer& is = layers_[l];
        const tools::recipe& r = is.recipes[chosen[l]];
        rows_.push_back({is.from, r, measured_[l][chosen[l]]});
        if (times_) rows_.back().seconds = times_->of(is.from, r);
        if (is_dense_as_stored(r)) stay.push_back(&is.from);
    }
    leave_dense(stay);
}

void job::write() const {
    pare::io::safetensors_writer out(parts_.whole());
    for (const auto& [key, value] : from_->metadata()) out.add_metadata(key, value);
    std::vector<pare::io::safetensors_reader> files;
    for (const row& r : rows_) {
        if (is_dense_as_stored(r.recipe)) continue;
        files.push_back(parts_.open({r.from.name(), r.recipe}));
        for (const auto& [key, value, where] : files.back().metadata())
            out.add_metadata(key, value);
        for (const auto& t : files.back().tensors()) out.add(t.name, t.type, t.shape(), t.bytes);
    }
    for (const dense_tensor& t : dense_)
        out.add(t.info.name, t.info.type, t.info.shape(), t.info.bytes);
    tools::value_of(out.commit(), o_.out);
    if (!o_.force && fs::exists(o_.out) && !are_equal(parts_.whole(), o_.out))
        throw tools::failure(o_.out + ": exists by now; --force replaces it");
    fs::rename(parts_.whole(), o_.out);
}

void job::print() const {
    const bool with_errors = o_.chosen.within.has_value();
    std::string summary = "tensors left dense: " + std::to_string(dense_.size()) + ", of " +
                          std::to_string(bytes_of(dense_)) + " bytes\n";
    if (channels_.n_groups != 0)
        summary += "channels left: " + std::to_string(channels_.n_kept) + " of " +
                   std::to_string(channels_.n_channels) + ", in " +
                   std::to_string(channels_.n_groups) + " groups\n";
    if (from_->n_arrays() != 0)
        summary += "arrays of the metadata left out: " + std::to_string(from_->n_arrays()) + "\n";
    if (times_) {
        double dense = 0.0, sum = 0.0;
        bool rounds_inputs = false;
        for (const row& r : rows_) {
            dense += times_->of(r.from, {});
            sum += *r.seconds;
            rounds_inputs = rounds_inputs || times_->rounds_inputs(r.from, r.recipe);
        }
        summary += "products " + tools::fixed(dense / sum, 2) + "x as fast as dense, by " +
                   o_.chosen.within->times.file + (rounds_inputs ? ", with inputs of 8 bits" : "") +
                   "\n";
    }
    summary += o_.dry_run ? "nothing written\n"
                          : o_.out + ": " + std::to_string(fs::file_size(o_.out)) + " bytes, of " +
                                std::to_string(fs::file_size(o_.in)) + "\n";
    std::printf("%s\n%s", table(rows_, with_errors).c_str(), summary.c_str());
    if (!o_.json.empty()) write_json(rows_, with_errors, o_.json);
    if (!o_.html.empty())
        tools::write_file(o_.html,
                          html(fs::path(o_.in).filename().string(), summary, rows_, with_errors));
}

}  // namespace

void run(const options& o, ranks& all) { job(o, all).run(); }

}  // namespace compressor
