// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0

// Runs a kernel on the engine's own threads: whatever can run a loop is an executor.
#include <pare/pare.hpp>

#include <algorithm>
#include <condition_variable>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <deque>
#include <functional>
#include <latch>
#include <mutex>
#include <thread>
#include <vector>

namespace engine {

/// Stands for a job system that the engine has already: a queue and some threads.
class job_system {
  public:
    explicit job_system(int n_threads) {
        for (int i = 0; i < n_threads; ++i) threads_.emplace_back([this] { work(); });
    }
    ~job_system() {
        {
            const std::lock_guard lock(mutex_);
            stop_ = true;
        }
        wake_.notify_all();
        for (std::thread& t : threads_) t.join();
    }
    void submit(std::function<void()> job) {
        {
            const std::lock_guard lock(mutex_);
            jobs_.push_back(std::move(job));
        }
        wake_.notify_one();
    }

  private:
    void work() {
        for (std::unique_lock lock(mutex_);;) {
            wake_.wait(lock, [this] { return stop_ || !jobs_.empty(); });
            if (jobs_.empty()) return;
            const auto job = std::move(jobs_.front());
            jobs_.pop_front();
            lock.unlock();
            job();
            lock.lock();
        }
    }
    std::mutex mutex_;
    std::condition_variable wake_;
    std::deque<std::function<void()>> jobs_;
    bool stop_ = false;
    std::vector<std::thread> threads_;
};

}  // namespace engine

// [readme-executor]
struct my_jobs {
    engine::job_system& jobs;

    void parallel_for(std::size_t n, std::size_t grain, auto&& fn) {
        std::latch left(static_cast<std::ptrdiff_t>((n + grain - 1) / grain));
        for (std::size_t begin = 0; begin < n; begin += grain)
            jobs.submit([&, begin] {
                fn(begin, std::min(n, begin + grain));
                left.count_down();
            });
        left.wait();
    }
};
// [readme-executor]

#ifdef _OPENMP
// [readme-openmp]
struct openmp {
    void parallel_for(std::size_t n, std::size_t grain, auto&& fn) {
#pragma omp parallel for schedule(dynamic)
        for (std::size_t begin = 0; begin < n; begin += grain)
            fn(begin, std::min(n, begin + grain));
    }
};
// [readme-openmp]
#endif

int main() {
    constexpr std::size_t rows = 500, cols = 300, tokens = 70;
    std::vector<float> weights(rows * cols), x(tokens * cols);
    pare::random random(1);
    for (float& v : weights) v = random.symmetric();
    for (float& v : x) v = random.symmetric();
    const auto layer = pare::compress(pare::matrix_view<const float>(weights.data(), rows, cols),
                                      pare::prune::n_m<2, 4>{});
    if (!layer) return 1;

    const auto run = [&](auto&& executor) {
        std::vector<float> y(tokens * rows);
        const auto ok =
            pare::gemm(*layer, {x.data(), tokens, cols}, {y.data(), tokens, rows}, executor);
        return ok ? y : std::vector<float>();
    };
    const std::vector<float> expected = run(pare::serial{});
    bool same = !expected.empty();
    const auto compare = [&](const char* name, const std::vector<float>& y) {
        const bool equal = y.size() == expected.size() &&
                           std::memcmp(y.data(), expected.data(), y.size() * sizeof(float)) == 0;
        std::printf("%-16s %s\n", name, equal ? "the same bits" : "DIFFERENT");
        same = same && equal;
    };
    engine::job_system jobs(3);
    compare("the engine's own", run(my_jobs{jobs}));
    compare("pare's pool", run(pare::thread_pool(2)));
#ifdef _OPENMP
    compare("OpenMP", run(openmp{}));
#endif
    return same ? 0 : 1;
}
