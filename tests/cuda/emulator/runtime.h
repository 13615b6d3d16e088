// What the emulated kernels and the emulator share. The kernel's source is compiled with memory instrumentation
// (-fsanitize=thread, whose calls runtime.cc answers); the runtime itself is not.
#pragma once
#include <cstddef>
#include <cstdint>

struct Index3 {
  unsigned x, y, z;
};

// What a kernel may read without a check.
struct LaunchState {
  Index3 threadIdx, blockIdx, blockDim, gridDim;
};
extern LaunchState emulated_launch;

namespace emulated {

constexpr unsigned kWarp = 32;
constexpr unsigned kExchangeBytes = 128;

// Gets the operands of all lanes, [32][kExchangeBytes], and leaves each lane's result.
using Combine = void (*)(const unsigned char (*in)[kExchangeBytes], unsigned char (*out)[kExchangeBytes]);

// Waits until all lanes of the warp have called the same operation, then gives each its result.
void warp_collective(const char* operation, const void* in, unsigned in_bytes, void* out, unsigned out_bytes,
                     Combine combine);
void block_barrier();
void warp_barrier();
unsigned lane();
[[noreturn]] void fail(const char* format, ...);

// Shared memory as the 32-bit addresses of PTX, and back.
unsigned shared_address(const void* pointer);
void* shared_pointer(unsigned address);
void* dynamic_shared_memory();

// cp.async: the copy lands when the thread waits for its group; until then the target must not be touched.
void async_copy(unsigned address, const void* source, unsigned bytes, unsigned source_bytes);
void async_commit();
void async_wait(unsigned pending);
void async_wait_all();

}  // namespace emulated
