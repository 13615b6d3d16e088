// Blocks, threads and memory of the emulated GPU: a fiber for each thread of a block, switched at barriers and warp
// operations; a shadow of shared and global memory that finds races, uninitialized reads and accesses out of bounds.
#include "runtime.h"

#include <sys/mman.h>

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <iterator>
#include <map>
#include <vector>
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

LaunchState emulated_launch;
// The linker's bounds of the section that holds all __shared__ arrays; absent where a kernel has none.
extern "C" __attribute__((weak)) unsigned char __start_emulated_shared[];
extern "C" __attribute__((weak)) unsigned char __stop_emulated_shared[];

namespace {

using emulated::kExchangeBytes;
using emulated::kWarp;

#if defined(__x86_64__)
struct Context {
  void* stack_pointer;
};
// Saves the registers that a call preserves on the stack, exchanges the stacks, restores them.
extern "C" void emulated_switch(void** from, void* to);
asm(R"(
.text
.globl emulated_switch
.hidden emulated_switch
.type emulated_switch, @function
emulated_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
)");
void switch_context(Context& from, Context& to) { emulated_switch(&from.stack_pointer, to.stack_pointer); }
void prepare(Context& context, unsigned char* stack, size_t bytes, void (*entry)()) {
  auto top = reinterpret_cast<uintptr_t>(stack + bytes) & ~uintptr_t{15};
  auto* frame = reinterpret_cast<void**>(top) - 8;  // six registers, the entry, and a return address nobody uses
  std::memset(frame, 0, 8 * sizeof(void*));
  frame[6] = reinterpret_cast<void*>(entry);
  context.stack_pointer = frame;
}
#else
using Context = ucontext_t;
void switch_context(Context& from, Context& to) { swapcontext(&from, &to); }
void prepare(Context& context, unsigned char* stack, size_t bytes, void (*entry)()) {
  getcontext(&context);
  context.uc_stack.ss_sp = stack;
  context.uc_stack.ss_size = bytes;
  context.uc_link = nullptr;
  makecontext(&context, entry, 0);
}
#endif

constexpr size_t kStackBytes = 1 << 16;
constexpr size_t kDynamicBytes = 232448;  // what a block may have at most: sm_90 and sm_110
constexpr int kNobody = 0, kMany = -1;

// What `extern __shared__` arrays name; a launch says how much of it there is.
alignas(128) unsigned char dynamic_shared[kDynamicBytes];

struct Copy {
  unsigned char* target;
  const unsigned char* source;
  unsigned bytes, source_bytes;
};

struct Thread {
  Context context;
  unsigned char* stack;
  bool done;
  Index3 index;
  std::vector<Copy> open;               // not yet committed
  std::deque<std::vector<Copy>> groups;  // committed, oldest first
};

struct Warp {
  unsigned arrived, generation, barrier_arrived, barrier_generation;
  uint64_t epoch;
  const char* operation;
  alignas(16) unsigned char in[kWarp][kExchangeBytes];
  alignas(16) unsigned char out[kWarp][kExchangeBytes];
};

// Of one byte. Epochs count barriers, warp epochs those of a warp in one block; zero: never. Threads count from one.
struct Shadow {
  uint64_t write_epoch, read_epoch, write_warp_epoch, read_warp_epoch;
  int writer, reader;
  int block;
  bool pending;  // a cp.async that nobody has waited for
};

// Memory and its shadow, which takes pages of the machine only where it is written.
class Buffer {
 public:
  unsigned char *start, *stop;
  bool shared;
  char name[32];

  Buffer(unsigned char* start, size_t bytes, bool shared, const char* format, ...)
      : start(start), stop(start + bytes), shared(shared) {
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(name, sizeof name, format, arguments);
    va_end(arguments);
  }
  Buffer(const Buffer&) = delete;
  ~Buffer() {
    if (shadow_) munmap(shadow_, size() * sizeof(Shadow));
  }
  size_t size() const { return stop - start; }
  bool holds(const unsigned char* byte) const { return byte >= start && byte < stop; }
  Shadow& shadow(const unsigned char* byte) {
    if (!shadow_) {
      void* pages = mmap(nullptr, size() * sizeof(Shadow), PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
      if (pages == MAP_FAILED) std::abort();
      shadow_ = static_cast<Shadow*>(pages);
    }
    return shadow_[byte - start];
  }

 private:
  Shadow* shadow_ = nullptr;
};

Context main_context;
std::vector<Thread> threads;
std::vector<Warp> warps;
std::map<const unsigned char*, Buffer> buffers;  // by where they start
unsigned char *stack_start, *stack_stop;
unsigned current, live, at_barrier, barrier_generation;
int block_number;
uint64_t epoch, block_epoch;
uint64_t progress;
void (*kernel)(void**);
void** kernel_parameters;
const char* kernel_name;
char message[1024];
bool failed;
bool combining;  // what a warp operation computes is instrumented too, but of the emulator's own memory

void yield() { switch_context(threads[current].context, main_context); }

void entry() {
  kernel(kernel_parameters);
  Thread& thread = threads[current];
  if (!thread.open.empty() || !thread.groups.empty()) emulated::fail("ends while its cp.async copies are pending");
  thread.done = true;
  ++progress;
  yield();
  std::abort();
}

void describe(const Buffer& buffer, const unsigned char* byte, char* text, size_t size) {
  std::snprintf(text, size, "byte %td of %s (%td bytes)", byte - buffer.start, buffer.name, buffer.stop - buffer.start);
}

int number(unsigned thread) { return static_cast<int>(thread) + 1; }

// Whether an earlier access of another thread is ordered before this one by a barrier.
bool unordered(int other, uint64_t then, uint64_t warp_then) {
  if (other == kNobody || other == number(current) || then != epoch) return false;
  bool same_warp = other != kMany && static_cast<unsigned>(other - 1) / kWarp == current / kWarp;
  return !(same_warp && warp_then < warps[current / kWarp].epoch);
}

void check_byte(Buffer& buffer, unsigned char* byte, bool write) {
  Shadow& shadow = buffer.shadow(byte);
  bool shared = buffer.shared;
  uint64_t warp_epoch = warps[current / kWarp].epoch;
  char where[256];
  if (shadow.pending) {
    describe(buffer, byte, where, sizeof where);
    emulated::fail("%s %s, whose cp.async copy has not been waited for", write ? "writes" : "reads", where);
  }
  bool of_block = shadow.block == block_number;
  bool race = of_block && unordered(shadow.writer, shadow.write_epoch, shadow.write_warp_epoch);
  if (!shared && shadow.writer != kNobody && !of_block) {
    describe(buffer, byte, where, sizeof where);
    emulated::fail("%s %s, which block %d has written", write ? "writes" : "reads", where, shadow.block - 1);
  }
  if (race) {
    describe(buffer, byte, where, sizeof where);
    emulated::fail("race: %s %s, which thread %d has written since the last barrier", write ? "writes" : "reads", where,
                   shadow.writer - 1);
  }
  if (!write) {
    if (shared && shadow.write_epoch < block_epoch) {
      describe(buffer, byte, where, sizeof where);
      emulated::fail("reads %s, which the block has not written", where);
    }
    if (!shared) return;
    bool ordered = shadow.read_epoch != epoch || !unordered(shadow.reader, shadow.read_epoch, shadow.read_warp_epoch);
    shadow.reader = ordered ? number(current) : kMany;
    shadow.read_epoch = epoch;
    shadow.read_warp_epoch = warp_epoch;
    return;
  }
  if (shared && unordered(shadow.reader, shadow.read_epoch, shadow.read_warp_epoch)) {
    describe(buffer, byte, where, sizeof where);
    if (shadow.reader == kMany) emulated::fail("race: writes %s, which others have read since the last barrier", where);
    emulated::fail("race: writes %s, which thread %d has read since the last barrier", where, shadow.reader - 1);
  }
  shadow.writer = number(current);
  shadow.write_epoch = epoch;
  shadow.write_warp_epoch = warp_epoch;
  shadow.block = block_number;
}

void check(const void* address, size_t bytes, bool write) {
  if (combining) return;
  auto* byte = static_cast<unsigned char*>(const_cast<void*>(address));
  if (byte >= stack_start && byte < stack_stop) {
    unsigned char* own = threads[current].stack;
    if (byte < own || byte + bytes > own + kStackBytes) emulated::fail("touches the registers of another thread");
    return;
  }
  auto* state = reinterpret_cast<unsigned char*>(&emulated_launch);
  if (byte >= state && byte < state + sizeof emulated_launch) return;
  auto next = buffers.upper_bound(byte);
  if (next == buffers.begin()) emulated::fail("out of bounds: %s %zu bytes before any buffer", write ? "writes" : "reads", bytes);
  Buffer& buffer = std::prev(next)->second;
  if (!buffer.holds(byte) || byte + bytes > buffer.stop) {
    emulated::fail("out of bounds: %s %zu bytes at byte %td after the start of %s, which has %zu", write ? "writes" : "reads",
                   bytes, byte - buffer.start, buffer.name, buffer.size());
  }
  if (reinterpret_cast<uintptr_t>(byte) % (bytes <= 16 ? bytes : 1)) {
    emulated::fail("accesses %zu bytes at byte %td of %s, which is not aligned", bytes, byte - buffer.start, buffer.name);
  }
  for (size_t i = 0; i < bytes; ++i) check_byte(buffer, byte + i, write);
}

Buffer* shared_buffer(const unsigned char* byte) {
  auto next = buffers.upper_bound(byte);
  if (next == buffers.begin()) return nullptr;
  Buffer& buffer = std::prev(next)->second;
  return buffer.shared && buffer.holds(byte) ? &buffer : nullptr;
}

void set_pending(const Copy& copy, bool pending) {
  Buffer& buffer = *shared_buffer(copy.target);
  for (unsigned i = 0; i < copy.bytes; ++i) buffer.shadow(copy.target + i).pending = pending;
}

void land(const std::vector<Copy>& group) {
  for (const Copy& copy : group) {
    set_pending(copy, false);
    check(copy.target, copy.bytes, true);
    std::memcpy(copy.target, copy.source, copy.source_bytes);
    std::memset(copy.target + copy.source_bytes, 0, copy.bytes - copy.source_bytes);
  }
}

void run_block() {
  ++block_number;
  ++epoch;
  block_epoch = epoch;
  live = static_cast<unsigned>(threads.size());
  at_barrier = barrier_generation = 0;
  for (Warp& warp : warps) {
    warp.arrived = warp.generation = warp.barrier_arrived = warp.barrier_generation = 0;
    warp.epoch = 1;
  }
  for (Thread& thread : threads) {
    thread.done = false;
    thread.open.clear();
    thread.groups.clear();
    prepare(thread.context, thread.stack, kStackBytes, entry);
  }
  for (bool any = true; any && !failed;) {
    any = false;
    uint64_t before = progress;
    for (current = 0; current < threads.size() && !failed; ++current) {
      if (threads[current].done) continue;
      any = true;
      emulated_launch.threadIdx = threads[current].index;
      switch_context(main_context, threads[current].context);
    }
    if (any && !failed && progress == before) {
      std::snprintf(message, sizeof message,
                    "%s, block (%u, %u, %u): deadlock: %u of %zu threads wait at __syncthreads, and the others do not come",
                    kernel_name, emulated_launch.blockIdx.x, emulated_launch.blockIdx.y, emulated_launch.blockIdx.z, at_barrier, threads.size());
      failed = true;
    }
  }
}

}  // namespace

namespace emulated {

void fail(const char* format, ...) {
  const Index3 &thread = emulated_launch.threadIdx, &block = emulated_launch.blockIdx;
  int length = std::snprintf(message, sizeof message, "%s, block (%u, %u, %u), thread (%u, %u, %u): ", kernel_name, block.x,
                             block.y, block.z, thread.x, thread.y, thread.z);
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(message + length, sizeof message - length, format, arguments);
  va_end(arguments);
  failed = true;
  yield();
  std::abort();
}

unsigned lane() { return current % kWarp; }

void block_barrier() {
  unsigned mine = barrier_generation;
  ++progress;
  if (++at_barrier == live) {
    at_barrier = 0;
    ++barrier_generation;
    ++epoch;
    return;
  }
  while (barrier_generation == mine) yield();
}

void warp_barrier() {
  Warp& warp = warps[current / kWarp];
  unsigned mine = warp.barrier_generation;
  ++progress;
  if (++warp.barrier_arrived == kWarp) {
    warp.barrier_arrived = 0;
    ++warp.barrier_generation;
    ++warp.epoch;
    return;
  }
  while (warp.barrier_generation == mine) yield();
}

void warp_collective(const char* operation, const void* in, unsigned in_bytes, void* out, unsigned out_bytes,
                     Combine combine) {
  Warp& warp = warps[current / kWarp];
  unsigned own = lane(), mine = warp.generation;
  if (warp.arrived == 0) warp.operation = operation;
  if (std::strcmp(warp.operation, operation) != 0) fail("is at %s, others of its warp at %s", operation, warp.operation);
  std::memcpy(warp.in[own], in, in_bytes);
  ++progress;
  if (++warp.arrived == kWarp) {
    warp.arrived = 0;
    ++warp.generation;
    combining = true;
    combine(warp.in, warp.out);
    combining = false;
  } else {
    while (warp.generation == mine) yield();
  }
  std::memcpy(out, warp.out[own], out_bytes);
}

// Static arrays are near the dynamic one: all of them are of one library.
unsigned shared_address(const void* pointer) {
  return static_cast<unsigned>(static_cast<const unsigned char*>(pointer) - dynamic_shared);
}
void* shared_pointer(unsigned address) { return dynamic_shared + static_cast<int>(address); }
void* dynamic_shared_memory() { return dynamic_shared; }

void async_copy(unsigned address, const void* source, unsigned bytes, unsigned source_bytes) {
  if (bytes != 4 && bytes != 8 && bytes != 16) fail("cp.async copies 4, 8 or 16 bytes, not %u", bytes);
  if (source_bytes > bytes) fail("cp.async reads %u bytes for %u", source_bytes, bytes);
  auto* target = static_cast<unsigned char*>(shared_pointer(address));
  if (reinterpret_cast<uintptr_t>(source) % bytes) fail("cp.async reads from an address that is not aligned");
  if (source_bytes) {
    for (unsigned i = 0; i < source_bytes; ++i) check(static_cast<const unsigned char*>(source) + i, 1, false);
  }
  if (!shared_buffer(target)) fail("cp.async writes to shared address %u, which is out of bounds", address);
  check(target, bytes, true);
  threads[current].open.push_back({target, static_cast<const unsigned char*>(source), bytes, source_bytes});
  set_pending(threads[current].open.back(), true);
}
void async_commit() {
  Thread& thread = threads[current];
  thread.groups.push_back(std::move(thread.open));
  thread.open.clear();
}
void async_wait(unsigned pending) {
  auto& groups = threads[current].groups;
  for (; groups.size() > pending; groups.pop_front()) land(groups.front());
}
void async_wait_all() {
  async_commit();
  async_wait(0);
}

}  // namespace emulated

// What -fsanitize=thread calls before each access.
#define HOOKS(bytes)                                                                                     \
  extern "C" void __tsan_read##bytes(void* address) { check(address, bytes, false); }                   \
  extern "C" void __tsan_write##bytes(void* address) { check(address, bytes, true); }                   \
  extern "C" void __tsan_unaligned_read##bytes(void* address) { check(address, bytes, false); }         \
  extern "C" void __tsan_unaligned_write##bytes(void* address) { check(address, bytes, true); }         \
  extern "C" void __tsan_volatile_read##bytes(void* address) { check(address, bytes, false); }          \
  extern "C" void __tsan_volatile_write##bytes(void* address) { check(address, bytes, true); }
HOOKS(1)
HOOKS(2)
HOOKS(4)
HOOKS(8)
HOOKS(16)
extern "C" void __tsan_read_range(void* address, size_t bytes) { check(address, bytes, false); }
extern "C" void __tsan_write_range(void* address, size_t bytes) { check(address, bytes, true); }
extern "C" void __tsan_func_entry(void*) {}
extern "C" void __tsan_func_exit() {}
extern "C" void __tsan_init() {}
extern "C" void* __tsan_memcpy(void* to, const void* from, size_t bytes) {
  check(from, bytes, false);
  check(to, bytes, true);
  return std::memcpy(to, from, bytes);
}

// What -fsanitize=bounds calls where the index of an array of known size is outside.
extern "C" void __ubsan_handle_out_of_bounds(void*, uintptr_t index) {
  emulated::fail("out of bounds: the index %td of an array", static_cast<ptrdiff_t>(index));
}
extern "C" void __ubsan_handle_out_of_bounds_abort(void* data, uintptr_t index) { __ubsan_handle_out_of_bounds(data, index); }

namespace {
void add(void* memory, size_t bytes, bool shared, const char* format, size_t number = 0) {
  auto* start = static_cast<unsigned char*>(memory);
  if (bytes) buffers.try_emplace(start, start, bytes, shared, format, number);
}

void run_grid(Index3 grid) {
  for (unsigned z = 0; z < grid.z && !failed; ++z)
    for (unsigned y = 0; y < grid.y && !failed; ++y)
      for (unsigned x = 0; x < grid.x && !failed; ++x) {
        emulated_launch.blockIdx = {x, y, z};
        run_block();
      }
}
}  // namespace

// Runs one launch on global memory, the arrays of `sizes` bytes at `starts`; the message of the first error, or null.
extern "C" const char* emulated_run(const char* name, void (*entry)(void**), const unsigned* grid, const unsigned* block,
                                    unsigned dynamic_bytes, void** parameters, void** starts, const size_t* sizes,
                                    unsigned count) {
  kernel_name = name;
  kernel = entry;
  kernel_parameters = parameters;
  failed = false;
  emulated_launch.gridDim = {grid[0], grid[1], grid[2]};
  emulated_launch.blockDim = {block[0], block[1], block[2]};
  if (dynamic_bytes > kDynamicBytes) return "more dynamic shared memory than any chip has";
  buffers.clear();
  add(__start_emulated_shared, __stop_emulated_shared - __start_emulated_shared, true, "shared memory");
  add(dynamic_shared, dynamic_bytes, true, "dynamic shared memory");
  for (unsigned i = 0; i < count; ++i) add(starts[i], sizes[i], false, "array %zu", i);
  size_t size = size_t{block[0]} * block[1] * block[2];
  threads.assign(size, Thread{});
  warps.assign((size + kWarp - 1) / kWarp, Warp{});
  auto* stacks = static_cast<unsigned char*>(
      mmap(nullptr, size * kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  stack_start = stacks;
  stack_stop = stacks + size * kStackBytes;
  for (unsigned i = 0; i < size; ++i) {
    threads[i].stack = stacks + i * kStackBytes;
    threads[i].index = {i % block[0], i / block[0] % block[1], i / (block[0] * block[1])};
  }
  epoch = 0;
  block_number = 0;
  run_grid(emulated_launch.gridDim);
  munmap(stacks, size * kStackBytes);
  return failed ? message : nullptr;
}
