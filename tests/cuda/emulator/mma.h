// Matrix operations of a warp. Fragments of mma.sync and ldmatrix lie in registers as the PTX ISA's figures show them:
// lane = 4 * group + place; a register holds 32 bits of consecutive depth. Those of wmma, whose layout NVIDIA leaves
// open, lie in an order of our own. The names of the functions are the instructions', with underscores.
#pragma once
#include "runtime.h"

namespace emulated {

using Lanes = const unsigned char (*)[kExchangeBytes];
using Results = unsigned char (*)[kExchangeBytes];

static inline unsigned word_of(Lanes in, unsigned lane, unsigned index) {
  unsigned word;
  std::memcpy(&word, in[lane] + 4 * index, 4);
  return word;
}

template <class Left, class Right> struct ProductsOf {  // of 8-bit or 4-bit values: int where signed, else unsigned
  template <int kBits> static unsigned dot(unsigned a, unsigned b) {
    unsigned sum = 0;
    for (int bit = 0; bit < 32; bit += kBits) {
      Left left = static_cast<Left>(a << (32 - kBits - bit)) >> (32 - kBits);
      Right right = static_cast<Right>(b << (32 - kBits - bit)) >> (32 - kBits);
      sum += static_cast<unsigned>(left) * static_cast<unsigned>(right);
    }
    return sum;
  }
};
using SignedProducts = ProductsOf<int, int>;
using MixedProducts = ProductsOf<int, unsigned>;
using UnsignedBySigned = ProductsOf<unsigned, int>;
struct CommonBits {
  template <int> static unsigned dot(unsigned a, unsigned b) { return static_cast<unsigned>(__builtin_popcount(a & b)); }
};
struct DifferentBits {
  template <int> static unsigned dot(unsigned a, unsigned b) { return static_cast<unsigned>(__builtin_popcount(a ^ b)); }
};

// kRows: 8 or 16. kDepth: groups of four registers along the depth, 1 or 2. In: a, b, c.
template <int kRows, int kDepth, int kBits, class Products> void multiply(Lanes in, Results out) {
  constexpr int kA = kRows / 8 * kDepth, kC = kRows / 4;
  unsigned a[kRows][4 * kDepth], b[8][4 * kDepth];
  for (unsigned lane = 0; lane < kWarp; ++lane) {
    unsigned group = lane / 4, place = lane % 4;
    for (int r = 0; r < kA; ++r) {
      int half = kRows == 16 ? r % 2 : 0, step = kRows == 16 ? r / 2 : r;
      a[group + 8 * half][place + 4 * step] = word_of(in, lane, r);
    }
    for (int r = 0; r < kDepth; ++r) b[group][place + 4 * r] = word_of(in, lane, kA + r);
  }
  for (unsigned lane = 0; lane < kWarp; ++lane) {
    unsigned group = lane / 4, place = lane % 4;
    for (int i = 0; i < kC; ++i) {
      unsigned row = group + 8 * (i / 2), column = 2 * place + i % 2;
      unsigned sum = word_of(in, lane, kA + kDepth + i);
      for (int k = 0; k < 4 * kDepth; ++k) sum += Products::template dot<kBits>(a[row][k], b[column][k]);
      std::memcpy(out[lane] + 4 * i, &sum, 4);
    }
  }
}

template <int kCount, bool kTransposed> void distribute(Lanes in, Results out) {
  for (unsigned lane = 0; lane < kWarp; ++lane) {
    unsigned group = lane / 4, place = lane % 4;
    for (unsigned matrix = 0; matrix < kCount; ++matrix) {
      unsigned char* to = out[lane] + 4 * matrix;
      if (kTransposed) {
        std::memcpy(to, in[8 * matrix + 2 * place] + 2 * group, 2);
        std::memcpy(to + 2, in[8 * matrix + 2 * place + 1] + 2 * group, 2);
      } else {
        std::memcpy(to, in[8 * matrix + group] + 4 * place, 4);
      }
    }
  }
}

template <int kCount, bool kTransposed> void load_matrices(const char* name, unsigned address, unsigned* registers) {
  alignas(16) unsigned char row[16] = {};
  if (lane() < 8 * kCount) {
    struct alignas(16) Row { unsigned char bytes[16]; };
    if (address % 16) fail("%s reads a row at shared address %u, which is no multiple of 16", name, address);
    *reinterpret_cast<Row*>(row) = *static_cast<const Row*>(shared_pointer(address));
  }
  warp_collective(name, row, 16, registers, 4 * kCount, distribute<kCount, kTransposed>);
}

template <class... Registers> void gather(unsigned* to, Registers... from) {
  ((*to++ = static_cast<unsigned>(from)), ...);
}

}  // namespace emulated

#define MMA_8(name, depth, bits, products)                                                               \
  template <class D> void name(D& d0, D& d1, unsigned a0, unsigned b0, int c0, int c1) {                 \
    unsigned in[4], out[2];                                                                              \
    emulated::gather(in, a0, b0, c0, c1);                                                                \
    emulated::warp_collective(#name, in, sizeof in, out, sizeof out,                                     \
                              emulated::multiply<8, depth, bits, emulated::products>);                   \
    d0 = static_cast<D>(out[0]), d1 = static_cast<D>(out[1]);                                            \
  }
#define MMA_16_SHALLOW(name, bits, products)                                                             \
  template <class D>                                                                                     \
  void name(D& d0, D& d1, D& d2, D& d3, unsigned a0, unsigned a1, unsigned b0, int c0, int c1, int c2, int c3) { \
    unsigned in[7], out[4];                                                                              \
    emulated::gather(in, a0, a1, b0, c0, c1, c2, c3);                                                    \
    emulated::warp_collective(#name, in, sizeof in, out, sizeof out,                                     \
                              emulated::multiply<16, 1, bits, emulated::products>);                      \
    d0 = static_cast<D>(out[0]), d1 = static_cast<D>(out[1]), d2 = static_cast<D>(out[2]), d3 = static_cast<D>(out[3]); \
  }
#define MMA_16_DEEP(name, bits, products)                                                                \
  template <class D>                                                                                     \
  void name(D& d0, D& d1, D& d2, D& d3, unsigned a0, unsigned a1, unsigned a2, unsigned a3, unsigned b0, unsigned b1,  \
            int c0, int c1, int c2, int c3) {                                                            \
    unsigned in[10], out[4];                                                                             \
    emulated::gather(in, a0, a1, a2, a3, b0, b1, c0, c1, c2, c3);                                        \
    emulated::warp_collective(#name, in, sizeof in, out, sizeof out,                                     \
                              emulated::multiply<16, 2, bits, emulated::products>);                      \
    d0 = static_cast<D>(out[0]), d1 = static_cast<D>(out[1]), d2 = static_cast<D>(out[2]), d3 = static_cast<D>(out[3]); \
  }
MMA_8(mma_sync_aligned_m8n8k16_row_col_s32_s8_s8_s32, 1, 8, SignedProducts)
MMA_8(mma_sync_aligned_m8n8k16_row_col_s32_u8_s8_s32, 1, 8, UnsignedBySigned)
MMA_8(mma_sync_aligned_m8n8k32_row_col_s32_s4_s4_s32, 1, 4, SignedProducts)
MMA_8(mma_sync_aligned_m8n8k32_row_col_s32_s4_u4_s32, 1, 4, MixedProducts)
MMA_8(mma_sync_aligned_m8n8k128_row_col_s32_b1_b1_s32_xor_popc, 1, 1, DifferentBits)
MMA_8(mma_sync_aligned_m8n8k128_row_col_s32_b1_b1_s32_and_popc, 1, 1, CommonBits)
MMA_16_SHALLOW(mma_sync_aligned_m16n8k16_row_col_s32_s8_s8_s32, 8, SignedProducts)
MMA_16_SHALLOW(mma_sync_aligned_m16n8k32_row_col_s32_s4_s4_s32, 4, SignedProducts)
MMA_16_SHALLOW(mma_sync_aligned_m16n8k128_row_col_s32_b1_b1_s32_xor_popc, 1, DifferentBits)
MMA_16_DEEP(mma_sync_aligned_m16n8k32_row_col_s32_s8_s8_s32, 8, SignedProducts)
MMA_16_DEEP(mma_sync_aligned_m16n8k32_row_col_s32_u8_s8_s32, 8, UnsignedBySigned)
MMA_16_DEEP(mma_sync_aligned_m16n8k64_row_col_s32_s4_s4_s32, 4, SignedProducts)
MMA_16_DEEP(mma_sync_aligned_m16n8k64_row_col_s32_s4_u4_s32, 4, MixedProducts)
MMA_16_DEEP(mma_sync_aligned_m16n8k256_row_col_s32_b1_b1_s32_xor_popc, 1, DifferentBits)
MMA_16_DEEP(mma_sync_aligned_m16n8k256_row_col_s32_b1_b1_s32_and_popc, 1, CommonBits)
#undef MMA_8
#undef MMA_16_SHALLOW
#undef MMA_16_DEEP

#define LDMATRIX(suffix, transposed)                                                                     \
  template <class R> void ldmatrix_sync_aligned_m8n8_x1##suffix##_shared_b16(R& r0, unsigned address) {  \
    unsigned r[1];                                                                                       \
    emulated::load_matrices<1, transposed>("ldmatrix.x1", address, r);                                   \
    r0 = static_cast<R>(r[0]);                                                                           \
  }                                                                                                      \
  template <class R> void ldmatrix_sync_aligned_m8n8_x2##suffix##_shared_b16(R& r0, R& r1, unsigned address) { \
    unsigned r[2];                                                                                       \
    emulated::load_matrices<2, transposed>("ldmatrix.x2", address, r);                                   \
    r0 = static_cast<R>(r[0]), r1 = static_cast<R>(r[1]);                                                \
  }                                                                                                      \
  template <class R>                                                                                     \
  void ldmatrix_sync_aligned_m8n8_x4##suffix##_shared_b16(R& r0, R& r1, R& r2, R& r3, unsigned address) { \
    unsigned r[4];                                                                                       \
    emulated::load_matrices<4, transposed>("ldmatrix.x4", address, r);                                   \
    r0 = static_cast<R>(r[0]), r1 = static_cast<R>(r[1]), r2 = static_cast<R>(r[2]), r3 = static_cast<R>(r[3]); \
  }
LDMATRIX(, false)
LDMATRIX(_trans, true)
#undef LDMATRIX

static inline void cp_async_cg_shared_global(unsigned address, const void* source, unsigned bytes, unsigned source_bytes) {
  if (bytes != 16) emulated::fail("cp.async.cg copies 16 bytes, not %u", bytes);
  emulated::async_copy(address, source, bytes, source_bytes);
}
static inline void cp_async_cg_shared_global(unsigned address, const void* source, unsigned bytes) {
  cp_async_cg_shared_global(address, source, bytes, bytes);
}
static inline void cp_async_ca_shared_global(unsigned address, const void* source, unsigned bytes, unsigned source_bytes) {
  emulated::async_copy(address, source, bytes, source_bytes);
}
static inline void cp_async_ca_shared_global(unsigned address, const void* source, unsigned bytes) {
  emulated::async_copy(address, source, bytes, bytes);
}
static inline void cp_async_commit_group() { emulated::async_commit(); }
static inline void cp_async_wait_group(unsigned pending) { emulated::async_wait(pending); }
static inline void cp_async_wait_all() { emulated::async_wait_all(); }

namespace nvcuda {
namespace wmma {
struct matrix_a {};
struct matrix_b {};
struct accumulator {};
struct row_major {};
struct col_major {};
enum layout_t { mem_row_major, mem_col_major };

template <class Use, int M, int N, int K> constexpr int size_of() {
  return std::is_same_v<Use, matrix_a> ? M * K : std::is_same_v<Use, matrix_b> ? K * N : M * N;
}

// Element i of a lane is element lane * num_elements + i of the row-major matrix.
template <class Use, int M, int N, int K, class T, class Layout = void> struct fragment {
  static constexpr int num_elements = size_of<Use, M, N, K>() / int{emulated::kWarp};
  T x[num_elements];
};

template <class F, class T> void fill_fragment(F& f, T value) {
  for (auto& element : f.x) element = value;
}

static inline void no_result(emulated::Lanes, emulated::Results) {}
// All lanes take part, though each moves its own elements.
static inline void together(const char* name) {
  unsigned char nothing = 0;
  emulated::warp_collective(name, &nothing, 1, &nothing, 1, no_result);
}

template <class Use, int M, int N, int K, class T, class Layout>
void load_matrix_sync(fragment<Use, M, N, K, T, Layout>& f, const T* p, unsigned ld) {
  constexpr int columns = std::is_same_v<Use, matrix_a> ? K : N;
  together("wmma::load_matrix_sync");
  for (int i = 0; i < f.num_elements; ++i) {
    int element = static_cast<int>(emulated::lane()) * f.num_elements + i, row = element / columns, column = element % columns;
    f.x[i] = std::is_same_v<Layout, col_major> ? p[column * ld + row] : p[row * ld + column];
  }
}

template <int M, int N, int K, class C>
void store_matrix_sync(C* p, const fragment<accumulator, M, N, K, C>& f, unsigned ld, layout_t layout) {
  together("wmma::store_matrix_sync");
  for (int i = 0; i < f.num_elements; ++i) {
    int element = static_cast<int>(emulated::lane()) * f.num_elements + i, row = element / N, column = element % N;
    p[layout == mem_col_major ? column * ld + row : row * ld + column] = f.x[i];
  }
}

template <int M, int N, int K, class T, class C> void multiply(emulated::Lanes in, emulated::Results out) {
  constexpr int kA = M * K / 32, kB = K * N / 32, kC = M * N / 32;
  T a[M * K], b[K * N];
  for (int lane = 0; lane < 32; ++lane) {
    std::memcpy(a + lane * kA, in[lane], kA * sizeof(T));
    std::memcpy(b + lane * kB, in[lane] + kA * sizeof(T), kB * sizeof(T));
  }
  for (int lane = 0; lane < 32; ++lane) {
    C c[kC];
    std::memcpy(c, in[lane] + (kA + kB) * sizeof(T), sizeof c);
    for (int i = 0; i < kC; ++i) {
      int row = (lane * kC + i) / N, column = (lane * kC + i) % N;
      for (int k = 0; k < K; ++k) c[i] += C(a[row * K + k]) * C(b[k * N + column]);
    }
    std::memcpy(out[lane], c, sizeof c);
  }
}

template <int M, int N, int K, class T, class LA, class LB, class C>
void mma_sync(fragment<accumulator, M, N, K, C>& d, const fragment<matrix_a, M, N, K, T, LA>& a,
              const fragment<matrix_b, M, N, K, T, LB>& b, const fragment<accumulator, M, N, K, C>& c, bool = false) {
  struct {
    T left[M * K / 32], right[K * N / 32];
    C sums[M * N / 32];
  } in;
  static_assert(sizeof in == sizeof a.x + sizeof b.x + sizeof c.x && sizeof in <= emulated::kExchangeBytes);
  std::copy(a.x, a.x + a.num_elements, in.left);
  std::copy(b.x, b.x + b.num_elements, in.right);
  std::copy(c.x, c.x + c.num_elements, in.sums);
  emulated::warp_collective("wmma::mma_sync", &in, sizeof in, d.x, sizeof d.x, multiply<M, N, K, T, C>);
}
}  // namespace wmma
}  // namespace nvcuda

// The same as instructions, whose fragments are registers.
namespace emulated {

template <class Use, class T, class Layout>
nvcuda::wmma::fragment<Use, 16, 16, 16, T, Layout> loaded(const char* name, unsigned address, unsigned stride) {
  if (address % 8 || stride % 8) fail("%s reads rows at shared address %u, %u apart: no multiples of 8", name, address, stride);
  nvcuda::wmma::fragment<Use, 16, 16, 16, T, Layout> fragment;
  load_matrix_sync(fragment, static_cast<const T*>(shared_pointer(address)), stride);
  return fragment;
}

}  // namespace emulated

#define WMMA_LOAD(operand, layout, kind, type)                                                           \
  template <class R>                                                                                     \
  void wmma_load_##operand##_sync_aligned_##layout##_m16n16k16_shared_##kind(R& r0, R& r1, unsigned address, unsigned stride) { \
    auto fragment = emulated::loaded<nvcuda::wmma::matrix_##operand, type, nvcuda::wmma::layout##_major>( \
        "wmma.load." #operand, address, stride);                                                         \
    std::memcpy(&r0, fragment.x, 4);                                                                     \
    std::memcpy(&r1, fragment.x + 4, 4);                                                                 \
  }
#define WMMA(kind, type)                                                                                 \
  WMMA_LOAD(a, row, kind, type)                                                                          \
  WMMA_LOAD(b, col, kind, type)                                                                          \
  template <class D>                                                                                     \
  void wmma_mma_sync_aligned_row_col_m16n16k16_s32_##kind##_##kind##_s32(                                \
      D& d0, D& d1, D& d2, D& d3, D& d4, D& d5, D& d6, D& d7, unsigned a0, unsigned a1, unsigned b0, unsigned b1, int c0, \
      int c1, int c2, int c3, int c4, int c5, int c6, int c7) {                                          \
    using namespace nvcuda::wmma;                                                                        \
    fragment<matrix_a, 16, 16, 16, type, row_major> a;                                                   \
    fragment<matrix_b, 16, 16, 16, type, col_major> b;                                                   \
    fragment<accumulator, 16, 16, 16, int> c{{c0, c1, c2, c3, c4, c5, c6, c7}}, d;                       \
    std::memcpy(a.x, &a0, 4), std::memcpy(a.x + 4, &a1, 4);                                              \
    std::memcpy(b.x, &b0, 4), std::memcpy(b.x + 4, &b1, 4);                                              \
    mma_sync(d, a, b, c);                                                                                \
    d0 = d.x[0], d1 = d.x[1], d2 = d.x[2], d3 = d.x[3], d4 = d.x[4], d5 = d.x[5], d6 = d.x[6], d7 = d.x[7]; \
  }
WMMA(s8, signed char)
WMMA(u8, unsigned char)
#undef WMMA_LOAD
#undef WMMA

static inline void wmma_store_d_sync_aligned_row_m16n16k16_shared_s32(unsigned address, int d0, int d1, int d2, int d3, int d4,
                                                                      int d5, int d6, int d7, unsigned stride) {
  using namespace nvcuda::wmma;
  if (address % 32 || stride % 8) emulated::fail("wmma.store.d writes rows at shared address %u, %u apart", address, stride);
  fragment<accumulator, 16, 16, 16, int> d{{d0, d1, d2, d3, d4, d5, d6, d7}};
  store_matrix_sync(static_cast<int*>(emulated::shared_pointer(address)), d, stride, mem_row_major);
}
