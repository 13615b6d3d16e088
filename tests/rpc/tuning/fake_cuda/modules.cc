// In front of the fake driver, for processes that load several modules: a module's kernels are those of the library
// that its machine code names.
#include <dlfcn.h>

#include <cstdlib>

using Load = int (*)(void**, const void*);

extern "C" int cuModuleLoadData(void** module, const void* image) {
  setenv("FAKE_GPU_KERNELS", static_cast<const char*>(image) + 4, 1);  // behind the fatbin's first word
  return reinterpret_cast<Load>(dlsym(RTLD_NEXT, "cuModuleLoadData"))(module, image);
}
