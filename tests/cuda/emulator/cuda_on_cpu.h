// CUDA C++ on the CPU: what the sources that TVM generates use, by its definition in the CUDA C++ Programming Guide and
// the PTX ISA. Values of a warp are in its threads' registers, each where the manual says; nothing holds whole tiles.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "runtime.h"

#define __global__
#define __device__ static
#define __host__
#define __forceinline__ __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
// Used: no access is optimized away, however little it matters to the results.
#define __shared__ static __attribute__((used, section("emulated_shared")))
#define threadIdx (emulated_launch.threadIdx)
#define blockIdx (emulated_launch.blockIdx)
#define blockDim (emulated_launch.blockDim)
#define gridDim (emulated_launch.gridDim)

#define VECTORS(T, N)                                                                                    \
  struct alignas(2 * sizeof(T)) N##2 { T x, y; };                                                        \
  struct N##3 { T x, y, z; };                                                                            \
  struct alignas(4 * sizeof(T)) N##4 { T x, y, z, w; };                                                  \
  static inline N##2 make_##N##2(T x, T y) { return {x, y}; }                                            \
  static inline N##4 make_##N##4(T x, T y, T z, T w) { return {x, y, z, w}; }
VECTORS(signed char, char)
VECTORS(unsigned char, uchar)
VECTORS(short, short)
VECTORS(unsigned short, ushort)
VECTORS(int, int)
VECTORS(unsigned int, uint)
VECTORS(float, float)
VECTORS(long long, longlong)
#undef VECTORS

static inline void __syncthreads() { emulated::block_barrier(); }
static inline void __syncwarp(unsigned mask = ~0u) {
  if (mask != ~0u) emulated::fail("__syncwarp of a part of a warp is not emulated");
  emulated::warp_barrier();
}
static inline int __clz(int x) { return x ? __builtin_clz(static_cast<unsigned>(x)) : 32; }
static inline int __mulhi(int a, int b) { return static_cast<int>(static_cast<long long>(a) * b >> 32); }
static inline unsigned __umulhi(unsigned a, unsigned b) {
  return static_cast<unsigned>(static_cast<unsigned long long>(a) * b >> 32);
}
static inline int __popc(unsigned x) { return __builtin_popcount(x); }
static inline unsigned __cvta_generic_to_shared(const void* p) { return emulated::shared_address(p); }
template <class T> static inline T __ldg(const T* p) { return *p; }
template <class A, class B> static inline auto min(A a, B b) {
  using C = std::common_type_t<decltype(+a), decltype(+b)>;
  return C(a) < C(b) ? C(a) : C(b);
}
template <class A, class B> static inline auto max(A a, B b) {
  using C = std::common_type_t<decltype(+a), decltype(+b)>;
  return C(a) < C(b) ? C(b) : C(a);
}

// Four products of signed bytes, added to c with wrap-around.
static inline int __dp4a(int a, int b, int c) {
  unsigned sum = static_cast<unsigned>(c);
  for (int i = 0; i < 4; ++i) sum += static_cast<unsigned>(int{int8_t(a >> 8 * i)} * int{int8_t(b >> 8 * i)});
  return static_cast<int>(sum);
}

// The same of unsigned bytes of a.
static inline void dp4a_u32_s32(int& d, unsigned a, int b, int c) {
  d = c;
  for (int i = 0; i < 4; ++i) d += int{uint8_t(a >> 8 * i)} * int{int8_t(b >> 8 * i)};
}

// Of signed bytes as an instruction, and a product of 16 bits.
static inline void dp4a_s32_s32(int& d, int a, int b, int c) { d = __dp4a(a, b, c); }
static inline void mad_wide_s16(int& d, short a, short b, int c) {
  d = static_cast<int>(static_cast<unsigned>(a * b) + static_cast<unsigned>(c));
}

// Each bit is that of the table at the number whose binary digits are the bits of a, b and c.
static inline void lop3_b32(unsigned& d, unsigned a, unsigned b, unsigned c, unsigned table) {
  d = 0;
  for (int i = 0; i < 32; ++i) d |= (table >> ((a >> i & 1) << 2 | (b >> i & 1) << 1 | (c >> i & 1)) & 1) << i;
}

// Bytes of y:x, each chosen by the low three bits of a nibble of the selector; the sign of a byte is not replicated.
static inline unsigned __byte_perm(unsigned x, unsigned y, unsigned selector) {
  uint64_t bytes = uint64_t{y} << 32 | x;
  unsigned result = 0;
  for (int i = 0; i < 4; ++i) result |= static_cast<unsigned>(bytes >> 8 * (selector >> 4 * i & 7) & 255) << 8 * i;
  return result;
}

namespace emulated {
static inline void ballot(const unsigned char (*in)[kExchangeBytes], unsigned char (*out)[kExchangeBytes]) {
  unsigned votes = 0;
  for (unsigned lane = 0; lane < kWarp; ++lane) votes |= unsigned{in[lane][0]} << lane;
  for (unsigned lane = 0; lane < kWarp; ++lane) std::memcpy(out[lane], &votes, sizeof votes);
}
struct Shuffle {
  uint64_t value;
  int lane;
};
static inline void shuffle(const unsigned char (*in)[kExchangeBytes], unsigned char (*out)[kExchangeBytes]) {
  for (unsigned lane = 0; lane < kWarp; ++lane) {
    Shuffle own, source;
    std::memcpy(&own, in[lane], sizeof own);
    std::memcpy(&source, in[own.lane], sizeof source);
    std::memcpy(out[lane], &source.value, sizeof source.value);
  }
}
template <class T> T shuffled(const char* name, unsigned mask, T value, unsigned source, int width) {
  static_assert(sizeof(T) <= 8);
  if (mask != ~0u || width != int{kWarp}) fail("%s of a part of a warp is not emulated", name);
  Shuffle own{0, static_cast<int>(source < kWarp ? source : lane())};
  std::memcpy(&own.value, &value, sizeof value);
  uint64_t result;
  warp_collective(name, &own, sizeof own, &result, sizeof result, shuffle);
  std::memcpy(&value, &result, sizeof value);
  return value;
}
}  // namespace emulated

static inline unsigned __ballot_sync(unsigned mask, int predicate) {
  if (mask != ~0u) emulated::fail("__ballot_sync of a part of a warp is not emulated");
  unsigned char vote = predicate != 0;
  unsigned votes;
  emulated::warp_collective("__ballot_sync", &vote, sizeof vote, &votes, sizeof votes, emulated::ballot);
  return votes;
}
template <class T> T __shfl_sync(unsigned mask, T value, int source, int width = 32) {
  return emulated::shuffled("__shfl_sync", mask, value, static_cast<unsigned>(source) % 32, width);
}
template <class T> T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32) {
  return emulated::shuffled("__shfl_xor_sync", mask, value, emulated::lane() ^ static_cast<unsigned>(bits), width);
}
template <class T> T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = 32) {
  return emulated::shuffled("__shfl_down_sync", mask, value, emulated::lane() + by, width);
}
template <class T> T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = 32) {
  return emulated::shuffled("__shfl_up_sync", mask, value, emulated::lane() - by, width);
}

#include "mma.h"
