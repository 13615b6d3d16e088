// A driver (libcuda.so.1), a CUDA runtime (libcudart.so.13) and a management library (libnvidia-ml.so.1) whose GPU is the
// CPU: what TVM's CUDA runtime and the sensors call.
//
// A module's kernels are those of the library FAKE_GPU_KERNELS, which has the emulator in it, whatever code is handed to
// it. The device's memory is out of bounds for everybody but kernels and copies: host code that reads or writes it ends
// by SIGSEGV. Its clock is held back for the reasons FAKE_GPU_REASONS (nvmlClocksEventReason*).
#include <dlfcn.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

using Status = int;
struct Config {  // CUlaunchConfig
  unsigned grid[3], block[3], shared_bytes;
  void* stream;
  void* attributes;
  unsigned attribute_count;
};
using Run = const char* (*)(const char*, void (*)(void**), const unsigned*, const unsigned*, unsigned, void**, void**,
                            const size_t*, unsigned);
struct Function {
  std::string name;
  void (*entry)(void**);
  const unsigned* sizes;  // of its parameters, in bytes; the last one is 0
  Run run;
  unsigned most_dynamic_shared = 48 << 10;  // until cuFuncSetAttribute says otherwise
};
struct Launch {
  const Function* function;
  unsigned grid[3], block[3], shared_bytes;
  std::vector<std::string> parameters;
};
using Graph = std::vector<Launch>;

namespace {
constexpr size_t PAGE = 4096;
constexpr int FATBIN = 0xBA55ED50, LAUNCH_FAILED = 719, CAPTURE_UNSUPPORTED = 900;
std::map<void*, size_t> memory;  // what was asked for; whole pages are taken
std::string what_failed;
Graph* capturing;
int graph_launches, kernel_launches;

size_t pages(size_t size) { return (size + PAGE - 1) / PAGE * PAGE; }
void protect(int protection) {
  for (auto& [address, size] : memory) mprotect(address, pages(size), protection);
}
struct Access {
  Access() { protect(PROT_READ | PROT_WRITE); }
  ~Access() { protect(PROT_NONE); }
};

Status run(const Launch& launch) {
  std::vector<void*> starts, parameters;
  std::vector<size_t> sizes;
  for (auto& [address, size] : memory) starts.push_back(address), sizes.push_back(size);
  for (auto& value : launch.parameters) parameters.push_back(const_cast<char*>(value.data()));
  const Function& function = *launch.function;
  const char* failed = function.run(function.name.c_str(), function.entry, launch.grid, launch.block, launch.shared_bytes,
                                    parameters.data(), starts.data(), sizes.data(), starts.size());
  what_failed = failed ? failed : "";
  return failed ? LAUNCH_FAILED : 0;
}
}  // namespace

extern "C" {
// For tests: what the program has launched so far.
int cuFakeGraphLaunches() { return graph_launches; }
int cuFakeKernelLaunches() { return kernel_launches; }

Status cuInit(unsigned) { return 0; }
Status cuDeviceGetCount(int* count) { return *count = 1, 0; }
Status cuDriverGetVersion(int* version) { return *version = 13000, 0; }
Status cuDeviceGetAttribute(int* value, int attribute, int) {
  int sm = atoi(getenv("FAKE_GPU_SM"));
  return *value = attribute == 75 ? sm / 10 : attribute == 76 ? sm % 10 : attribute == 16, 0;  // 16: multiprocessors
}
Status cuDeviceGetName(char* name, int size, int) { return snprintf(name, size, "fake"), 0; }
Status cuDeviceGetPCIBusId(char* id, int size, int) { return snprintf(id, size, "0000:01:00.0"), 0; }
Status cuGetErrorName(Status, const char** text) { return *text = "an error of the fake driver", 0; }
Status cuGetErrorString(Status, const char** text) { return *text = what_failed.c_str(), 0; }
Status cuFuncSetAttribute(void* function, int attribute, int value) {
  if (attribute == 8) static_cast<Function*>(function)->most_dynamic_shared = value;
  return 0;
}
Status cuTensorMapEncodeTiled(...) { return 801; }
Status cuGetExportTable(const void**, const void*) { return 500; }  // NVRTC asks, and crashes where nobody answers

Status cuModuleLoadData(void** module, const void* image) {
  int magic;
  memcpy(&magic, image, sizeof magic);
  if (magic != FATBIN) return 200;  // CUDA_ERROR_INVALID_IMAGE
  *module = dlopen(getenv("FAKE_GPU_KERNELS"), RTLD_NOW | RTLD_LOCAL);
  if (!*module) fprintf(stderr, "%s\n", dlerror());
  return *module ? 0 : 301;
}
Status cuModuleUnload(void*) { return 0; }
Status cuModuleGetFunction(void** function, void* module, const char* name) {
  auto entry = reinterpret_cast<void (*)(void**)>(dlsym(module, (std::string("launch_") + name).c_str()));
  if (!entry) return 500;
  auto sizes = static_cast<const unsigned*>(dlsym(module, (std::string("sizes_") + name).c_str()));
  *function = new Function{name, entry, sizes, reinterpret_cast<Run>(dlsym(module, "emulated_run"))};
  return 0;
}
Status cuLaunchKernelEx(const Config* config, void* handle, void** parameters, void**) {
  auto* function = static_cast<const Function*>(handle);
  if (config->shared_bytes > function->most_dynamic_shared) return 1;  // CUDA_ERROR_INVALID_VALUE
  Launch launch{function, {}, {}, config->shared_bytes, {}};
  std::copy_n(config->grid, 3, launch.grid);
  std::copy_n(config->block, 3, launch.block);
  for (unsigned i = 0; function->sizes[i]; ++i) {
    launch.parameters.emplace_back(static_cast<char*>(parameters[i]), function->sizes[i]);
  }
  if (capturing) return capturing->push_back(launch), 0;
  ++kernel_launches;
  Access access;
  return run(launch);
}

constexpr int NOT_SUPPORTED = 3;
Status nvmlInit_v2() { return 0; }
Status nvmlDeviceGetHandleByPciBusId_v2(const char* id, void** device) {
  return *device = what_failed.data(), strcmp(id, "0000:01:00.0") ? 6 : 0;
}
Status nvmlDeviceGetClockInfo(void*, int kind, unsigned* mhz) { return *mhz = kind == 1 ? 1410 : 9501, 0; }
Status nvmlDeviceGetMaxClockInfo(void*, int, unsigned* mhz) { return *mhz = 1980, 0; }
Status nvmlDeviceGetTemperature(void*, int, unsigned* celsius) { return *celsius = 61, 0; }
Status nvmlDeviceGetPowerUsage(void*, unsigned*) { return NOT_SUPPORTED; }
Status nvmlDeviceGetCurrentClocksThrottleReasons(void*, unsigned long long* reasons) {
  const char* held = getenv("FAKE_GPU_REASONS");
  return *reasons = held ? strtoull(held, nullptr, 0) : 0, 0;
}

Status cudaMalloc(void** address, size_t size) {
  if (capturing) return CAPTURE_UNSUPPORTED;
  const char* limit = getenv("FAKE_GPU_BYTES");
  size_t used = 0;
  for (auto& each : memory) used += pages(each.second);
  if (limit && used + pages(size) > strtoull(limit, nullptr, 10)) return 2;  // cudaErrorMemoryAllocation
  *address = mmap(nullptr, pages(size), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  memset(*address, 0xA5, pages(size));
  memory[*address] = size;
  protect(PROT_NONE);
  return 0;
}
Status cudaFree(void* address) {
  if (capturing) return CAPTURE_UNSUPPORTED;
  auto found = memory.find(address);
  if (found == memory.end()) return address ? 1 : 0;
  munmap(address, pages(found->second));
  memory.erase(found);
  return 0;
}
Status cudaMallocHost(void** address, size_t size) { return *address = malloc(size), 0; }
Status cudaFreeHost(void* address) { return free(address), 0; }
Status cudaMemcpyAsync(void* to, const void* from, size_t size, int, void*) {
  if (capturing) return CAPTURE_UNSUPPORTED;
  Access access;
  return memcpy(to, from, size), 0;
}
Status cudaMemcpyPeerAsync(void*, int, const void*, int, size_t, void*) { return 801; }
Status cudaMemGetInfo(size_t* free, size_t* total) { return *free = *total = size_t(1) << 30, 0; }
Status cudaGetDeviceCount(int* count) { return *count = 1, 0; }
Status cudaGetDevice(int* device) { return *device = 0, 0; }
Status cudaSetDevice(int) { return 0; }
Status cudaDeviceGetAttribute(int* value, int, int) { return *value = 1, 0; }
Status cudaGetDeviceProperties(void*, int) { return 801; }
const char* cudaGetErrorName(Status status) { return status == 2 ? "cudaErrorMemoryAllocation" : "an error"; }
const char* cudaGetErrorString(Status status) { return status == 2 ? "out of memory" : "an error"; }
Status cudaGetLastError() { return 0; }
Status cudaPeekAtLastError() { return 0; }
Status cudaStreamCreate(void** stream) { return *stream = nullptr, 0; }
Status cudaStreamCreateWithFlags(void** stream, unsigned) { return *stream = nullptr, 0; }
Status cudaStreamDestroy(void*) { return 0; }
Status cudaStreamSynchronize(void*) { return 0; }
Status cudaStreamWaitEvent(void*, void*, unsigned) { return 0; }
Status cudaStreamBeginCapture(void*, int) { return capturing = new Graph, 0; }
Status cudaStreamEndCapture(void*, void** graph) { return *graph = capturing, capturing = nullptr, 0; }
Status cudaEventCreate(void** event) { return *event = nullptr, 0; }
Status cudaEventDestroy(void*) { return 0; }
Status cudaEventRecord(void*, void*) { return 0; }
Status cudaEventSynchronize(void*) { return 0; }
Status cudaEventElapsedTime(float* ms, void*, void*) { return *ms = 0, 0; }
Status cudaGraphDestroy(void* graph) { return delete static_cast<Graph*>(graph), 0; }
Status cudaGraphExecDestroy(void* graph) { return delete static_cast<Graph*>(graph), 0; }
Status cudaGraphInstantiate(void** executable, void* graph, unsigned long long) {
  return *executable = new Graph(*static_cast<Graph*>(graph)), 0;
}
Status cudaGraphLaunch(void* graph, void*) {
  ++graph_launches;
  Access access;
  for (auto& launch : *static_cast<Graph*>(graph)) {
    if (Status status = run(launch)) return status;
  }
  return 0;
}
}
