// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_CORE_THREAD_POOL_HPP
#define PARE_CORE_THREAD_POOL_HPP

#include "executor.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <thread>

namespace pare::inline PARE_ARCH_NAMESPACE {

/// An executor over its own std::threads and the caller's: ranges of `grain` elements are handed
/// out by an atomic counter. Waiting threads spin for some tens of microseconds, so that short
/// loops in a row scale, then sleep; more threads than cores only costs time. A call made while
/// another is running (nested in it, or from another thread) runs in its own thread alone.
class thread_pool {
  public:
    /// Starts n_threads - 1 threads; 0, an unknown hardware_concurrency(), counts as 1. Offline:
    /// allocates. Ends the program when the system refuses a thread or its memory.
    explicit thread_pool(std::size_t n_threads) noexcept;
    ~thread_pool();
    thread_pool(const thread_pool&) = delete;
    thread_pool& operator=(const thread_pool&) = delete;

    /// Number of threads that a loop runs on, the caller included.
    std::size_t size() const noexcept { return size_; }

    /// See the concept `executor`. Allocates nothing. @pre grain > 0; fn does not throw
    template <class Fn>
    void parallel_for(std::size_t n, std::size_t grain, Fn&& fn) noexcept;

  private:
    using range_fn = void (*)(void* context, std::size_t begin, std::size_t end);
    struct worker {  // a name of ours: std::unique_ptr<std::thread[]> is shared by all flags
        std::thread thread;
    };
    static constexpr std::uint32_t open = 1;    // gate_: the job may be entered
    static constexpr std::uint32_t inside = 2;  // gate_: one worker inside

    void work() noexcept;
    void run_ranges() noexcept;
    template <class Word, class Done>
    static Word await(const std::atomic<Word>& word, Done done) noexcept;

    std::size_t size_;
    std::unique_ptr<worker[]> workers_;

    // The job: written while the gate is shut and empty, read only by threads that entered it.
    range_fn call_ = nullptr;
    void* context_ = nullptr;
    std::size_t n_ = 0;
    std::size_t grain_ = 1;

    alignas(64) std::atomic<std::size_t> next_{0};     // the next range to hand out
    alignas(64) std::atomic<std::uint32_t> gate_{0};   // `open` and the workers inside
    alignas(64) std::atomic<std::uint32_t> epoch_{0};  // counts jobs; sleeping workers watch it
    std::atomic<bool> busy_{false};
    std::atomic<bool> stop_{false};
};

inline thread_pool::thread_pool(std::size_t n_threads) noexcept
    : size_(n_threads == 0 ? 1 : n_threads), workers_(new worker[size_ - 1]) {
    for (std::size_t i = 0; i + 1 < size_; ++i)
        workers_[i].thread = std::thread([this] { work(); });
}

inline thread_pool::~thread_pool() {
    stop_.store(true);
    epoch_.fetch_add(1);
    epoch_.notify_all();
    for (std::size_t i = 0; i + 1 < size_; ++i) workers_[i].thread.join();
}

template <class Fn>
void thread_pool::parallel_for(std::size_t n, std::size_t grain, Fn&& fn) noexcept {
    PARE_ASSERT(grain > 0, "a range has at least one element");
    if (n <= grain || size_ == 1 || busy_.exchange(true)) {
        if (n != 0) fn(std::size_t{0}, n);
        return;
    }
    auto call = [&fn](std::size_t begin, std::size_t end) { fn(begin, end); };
    call_ = [](void* context, std::size_t begin, std::size_t end) {
        (*static_cast<decltype(call)*>(context))(begin, end);
    };
    context_ = &call;
    n_ = n;
    grain_ = grain;
    next_.store(0);
    gate_.fetch_or(open);
    epoch_.fetch_add(1);
    epoch_.notify_all();

    run_ranges();
    // Whoever is still asleep is not waited for: it will find the gate shut.
    gate_.fetch_and(~open);
    await(gate_, [](std::uint32_t gate) { return gate == 0; });
    busy_.store(false);
}

inline void thread_pool::work() noexcept {
    for (std::uint32_t seen = 0;;) {
        seen = await(epoch_, [seen](std::uint32_t epoch) { return epoch != seen; });
        if (stop_.load()) return;
        if ((gate_.fetch_add(inside) & open) != 0) run_ranges();
        if (gate_.fetch_sub(inside) == inside) gate_.notify_one();
    }
}

inline void thread_pool::run_ranges() noexcept {
    const std::size_t n_ranges = n_ / grain_ + (n_ % grain_ != 0);
    for (std::size_t i = next_.fetch_add(1); i < n_ranges; i = next_.fetch_add(1)) {
        const std::size_t begin = i * grain_, left = n_ - begin;
        call_(context_, begin, begin + (left < grain_ ? left : grain_));
    }
}

// Returns the first value seen that is `done`.
template <class Word, class Done>
Word thread_pool::await(const std::atomic<Word>& word, Done done) noexcept {
    constexpr int n_spins = 2000;
    for (int spin = 0;; ++spin) {
        const Word value = word.load();
        if (done(value)) return value;
        if (spin >= n_spins) {
            word.wait(value);
            continue;
        }
#if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause();
#elif defined(__aarch64__)
        asm volatile("yield");
#endif
    }
}

static_assert(executor<thread_pool>);

}  // namespace pare::inline PARE_ARCH_NAMESPACE

#endif  // PARE_CORE_THREAD_POOL_HPP
