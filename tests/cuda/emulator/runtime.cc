// Blocks, threads and memory of the emulated GPU: a fiber for each thread of a block, switched at barriers and warp
// operations; a shadow of shared and global memory that finds races, uninitialized reads and accesses out of bounds.
#include "runtime.h"

#include <sys/mman.h>

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <vector>
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

LaunchState emulated_launch;
extern "C" void emulated_kernel(void** arguments);
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
constexpr int kNobody = -1, kMany = -2;

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

// Of one byte. Epochs count the block's barriers, warp epochs those of a warp; zero: never.
struct Shadow {
  uint64_t write_epoch, read_epoch, write_warp_epoch, read_warp_epoch;
  int writer, reader;
  int block;
  bool pending;  // a cp.async that nobody has waited for
};

struct Buffer {
  const char* name;
  unsigned char *start, *stop;
  std::vector<Shadow> shadow;

  bool holds(const unsigned char* byte) const { return byte >= start && byte < stop; }
};

Context main_context;
std::vector<Thread> threads;
std::vector<Warp> warps;
std::vector<Buffer> buffers;  // the first one is shared memory
unsigned char *stack_start, *stack_stop;
unsigned current, live, at_barrier, barrier_generation;
int block_number;
uint64_t epoch, block_epoch;
uint64_t progress;
void** kernel_arguments;
const char* kernel_name;
char message[1024];
bool failed;
bool combining;  // what a warp operation computes is instrumented too, but of the emulator's own memory

void yield() { switch_context(threads[current].context, main_context); }

void entry() {
  emulated_kernel(kernel_arguments);
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

// Whether an earlier access of another thread is ordered before this one by a barrier.
bool unordered(int other, uint64_t then, uint64_t warp_then) {
  if (other == kNobody || other == static_cast<int>(current) || then != epoch) return false;
  bool same_warp = other >= 0 && static_cast<unsigned>(other) / kWarp == current / kWarp;
  return !(same_warp && warp_then < warps[current / kWarp].epoch);
}

void check_byte(Buffer& buffer, unsigned char* byte, bool write) {
  Shadow& shadow = buffer.shadow[byte - buffer.start];
  bool shared = &buffer == &buffers[0];
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
    emulated::fail("%s %s, which block %d has written", write ? "writes" : "reads", where, shadow.block);
  }
  if (race) {
    describe(buffer, byte, where, sizeof where);
    emulated::fail("race: %s %s, which thread %d has written since the last barrier", write ? "writes" : "reads", where,
                   shadow.writer);
  }
  if (!write) {
    if (shared && shadow.write_epoch < block_epoch) {
      describe(buffer, byte, where, sizeof where);
      emulated::fail("reads %s, which the block has not written", where);
    }
    if (!shared) return;
    bool ordered = shadow.read_epoch != epoch || !unordered(shadow.reader, shadow.read_epoch, shadow.read_warp_epoch);
    shadow.reader = ordered ? static_cast<int>(current) : kMany;
    shadow.read_epoch = epoch;
    shadow.read_warp_epoch = warp_epoch;
    return;
  }
  if (shared && unordered(shadow.reader, shadow.read_epoch, shadow.read_warp_epoch)) {
    describe(buffer, byte, where, sizeof where);
    if (shadow.reader == kMany) emulated::fail("race: writes %s, which others have read since the last barrier", where);
    emulated::fail("race: writes %s, which thread %d has read since the last barrier", where, shadow.reader);
  }
  shadow.writer = static_cast<int>(current);
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
  for (Buffer& buffer : buffers) {
    if (!buffer.holds(byte)) continue;
    if (byte + bytes > buffer.stop) break;
    if (reinterpret_cast<uintptr_t>(byte) % (bytes <= 16 ? bytes : 1)) {
      emulated::fail("accesses %zu bytes at byte %td of %s, which is not aligned", bytes, byte - buffer.start, buffer.name);
    }
    for (size_t i = 0; i < bytes; ++i) check_byte(buffer, byte + i, write);
    return;
  }
  const Buffer* nearest = nullptr;
  for (const Buffer& buffer : buffers) {
    if (buffer.start <= byte && (nearest == nullptr || nearest->start < buffer.start)) nearest = &buffer;
  }
  if (nearest == nullptr) emulated::fail("out of bounds: %s %zu bytes before any buffer", write ? "writes" : "reads", bytes);
  emulated::fail("out of bounds: %s %zu bytes at byte %td after the start of %s, which has %td", write ? "writes" : "reads",
                 bytes, byte - nearest->start, nearest->name, nearest->stop - nearest->start);
}

void set_pending(const Copy& copy, bool pending) {
  for (unsigned i = 0; i < copy.bytes; ++i) buffers[0].shadow[copy.target - buffers[0].start + i].pending = pending;
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
                    "%s, block %d: deadlock: %u of %zu threads wait at __syncthreads, and the others do not come", kernel_name,
                    block_number, at_barrier, threads.size());
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

unsigned shared_address(const void* pointer) {
  return static_cast<unsigned>(static_cast<const unsigned char*>(pointer) - buffers[0].start);
}
void* shared_pointer(unsigned address) { return buffers[0].start + static_cast<int>(address); }

void async_copy(unsigned address, const void* source, unsigned bytes, unsigned source_bytes) {
  if (bytes != 4 && bytes != 8 && bytes != 16) fail("cp.async copies 4, 8 or 16 bytes, not %u", bytes);
  if (source_bytes > bytes) fail("cp.async reads %u bytes for %u", source_bytes, bytes);
  auto* target = static_cast<unsigned char*>(shared_pointer(address));
  if (reinterpret_cast<uintptr_t>(source) % bytes) fail("cp.async reads from an address that is not aligned");
  if (source_bytes) {
    for (unsigned i = 0; i < source_bytes; ++i) check(static_cast<const unsigned char*>(source) + i, 1, false);
  }
  if (!buffers[0].holds(target)) fail("cp.async writes to shared address %u, which is out of bounds", address);
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

// Runs one launch; the message of the first error, or null.
extern "C" const char* emulated_run(const char* kernel, const unsigned* grid, const unsigned* block, void** arguments,
                                    const size_t* sizes, unsigned count) {
  kernel_name = kernel;
  kernel_arguments = arguments;
  failed = false;
  emulated_launch.gridDim = {grid[0], grid[1], grid[2]};
  emulated_launch.blockDim = {block[0], block[1], block[2]};
  buffers.clear();
  const Shadow fresh{0, 0, 0, 0, kNobody, kNobody, kNobody, false};
  auto add = [&](const char* name, unsigned char* start, size_t bytes) {
    buffers.push_back({name, start, start + bytes, std::vector<Shadow>(bytes, fresh)});
  };
  add("shared memory", __start_emulated_shared, __stop_emulated_shared - __start_emulated_shared);
  static char names[64][32];
  for (unsigned i = 0; i < count && i < 64; ++i) {
    std::snprintf(names[i], sizeof names[i], "argument %u", i);
    add(names[i], static_cast<unsigned char*>(arguments[i]), sizes[i]);
  }
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
  for (unsigned z = 0; z < grid[2] && !failed; ++z)
    for (unsigned y = 0; y < grid[1] && !failed; ++y)
      for (unsigned x = 0; x < grid[0] && !failed; ++x, ++block_number) {
        emulated_launch.blockIdx = {x, y, z};
        run_block();
      }
  munmap(stacks, size * kStackBytes);
  return failed ? message : nullptr;
}
