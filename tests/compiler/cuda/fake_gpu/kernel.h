// Gives the CUDA C++ that TVM writes its meaning on a CPU: a block's threads are fibers that take turns at barriers.
// One block runs after the other, so a static variable is the shared memory of one block.
#pragma once
#include <stdint.h>
#include <ucontext.h>

#include <cmath>
#include <cstdint>
#include <type_traits>
#include <vector>

#define __global__
#define __device__
#define __launch_bounds__(...)
#define __shared__ static

struct Index {
  unsigned x, y, z;
};
static Index threadIdx, blockIdx;

template <class A, class B>
static inline auto min(A a, B b) {
  using Common = std::common_type_t<decltype(+a), decltype(+b)>;
  return Common(a) < Common(b) ? Common(a) : Common(b);
}
template <class A, class B>
static inline auto max(A a, B b) {
  using Common = std::common_type_t<decltype(+a), decltype(+b)>;
  return Common(a) < Common(b) ? Common(b) : Common(a);
}
static inline int __clz(int value) { return value ? __builtin_clz(value) : 32; }

namespace fibers {
constexpr size_t STACK = 1 << 16;
static std::vector<ucontext_t> threads;
static std::vector<std::vector<char>> stacks;
static std::vector<bool> ended;
static ucontext_t scheduler;
static unsigned current;
static void (*body)(void**);
static void** arguments;

static void entry() {
  body(arguments);
  ended[current] = true;
  swapcontext(&threads[current], &scheduler);
}

// `backwards`: the last thread goes first. What depends on the order between two barriers is a race.
static void run_block(Index block, bool backwards) {
  unsigned count = block.x * block.y * block.z;
  threads.resize(count);
  stacks.resize(count);
  ended.assign(count, false);
  for (unsigned i = 0; i < count; ++i) {
    stacks[i].resize(STACK);
    getcontext(&threads[i]);
    threads[i].uc_stack.ss_sp = stacks[i].data();
    threads[i].uc_stack.ss_size = STACK;
    threads[i].uc_link = nullptr;
    makecontext(&threads[i], entry, 0);
  }
  for (bool any = true; any;) {
    any = false;
    for (unsigned i = 0; i < count; ++i) {
      current = backwards ? count - 1 - i : i;
      if (ended[current]) continue;
      any = true;
      threadIdx = {current % block.x, current / block.x % block.y, current / (block.x * block.y)};
      swapcontext(&scheduler, &threads[current]);
    }
  }
}

static void launch(Index grid, Index block, bool backwards, void (*kernel)(void**), void** parameters) {
  body = kernel;
  arguments = parameters;
  for (unsigned z = 0; z < grid.z; ++z)
    for (unsigned y = 0; y < grid.y; ++y)
      for (unsigned x = 0; x < grid.x; ++x) {
        blockIdx = {x, y, z};
        run_block(block, backwards);
      }
}
}  // namespace fibers

static inline void __syncthreads() { swapcontext(&fibers::threads[fibers::current], &fibers::scheduler); }
