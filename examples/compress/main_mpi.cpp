// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "common/main.hpp"

#include "options.hpp"
#include "run.hpp"

#include <mpi.h>

#include <cstddef>
#include <cstdio>
#include <exception>
#include <functional>
#include <optional>
#include <span>
#include <string>

namespace {

/// The ranks of MPI_COMM_WORLD.
class mpi_ranks final : public compressor::ranks {
  public:
    mpi_ranks(int& argc, char**& argv) {
        int provided = 0;  // only the main thread calls MPI
        MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &provided);
        MPI_Comm_rank(MPI_COMM_WORLD, &index_);
        MPI_Comm_size(MPI_COMM_WORLD, &size_);
    }
    ~mpi_ranks() override { MPI_Finalize(); }
    mpi_ranks(const mpi_ranks&) = delete;
    mpi_ranks& operator=(const mpi_ranks&) = delete;

    std::size_t index() const override { return static_cast<std::size_t>(index_); }
    std::size_t size() const override { return static_cast<std::size_t>(size_); }

    void share(const std::function<void()>& work) override {
        enum : int { well, failed, misused };
        int outcome = well;
        std::string why;
        try {
            work();
        } catch (const tools::usage_error& e) {
            outcome = misused;
            why = e.what();
        } catch (const std::exception& e) {
            outcome = failed;
            why = e.what();
        }
        int first = outcome == well ? size_ : index_;
        MPI_Allreduce(MPI_IN_PLACE, &first, 1, MPI_INT, MPI_MIN, MPI_COMM_WORLD);
        if (first == size_) return;
        send_from(first, outcome, why);
        if (first != 0) why.insert(0, "rank " + std::to_string(first) + ": ");
        if (outcome == misused) throw tools::usage_error(why);
        throw tools::failure(why);
    }

    void add_up(std::span<double> values) override {
        MPI_Allreduce(MPI_IN_PLACE, values.data(), static_cast<int>(values.size()), MPI_DOUBLE,
                      MPI_SUM, MPI_COMM_WORLD);
    }

  private:
    static void send_from(int rank, int& outcome, std::string& why) {
        auto n = static_cast<int>(why.size());
        MPI_Bcast(&outcome, 1, MPI_INT, rank, MPI_COMM_WORLD);
        MPI_Bcast(&n, 1, MPI_INT, rank, MPI_COMM_WORLD);
        why.resize(static_cast<std::size_t>(n));
        MPI_Bcast(why.data(), n, MPI_CHAR, rank, MPI_COMM_WORLD);
    }

    int index_ = 0, size_ = 1;
};

}  // namespace

// Rank 0 speaks for all, and its exit code is theirs.
int main(int argc, char** argv) {
    mpi_ranks all(argc, argv);
    if (all.index() != 0)
        for (std::FILE* const stream : {stdout, stderr})
            if (std::freopen("/dev/null", "w", stream) == nullptr) return 1;
    const int code = tools::exit_code_of("pare_compress_mpi", [&] {
        std::optional<compressor::options> options;
        all.share([&] { options = compressor::parse_options(argc, argv); });
        if (options) compressor::run(*options, all);
    });
    return all.index() == 0 ? code : 0;
}
