/* A PKCS#11 module that is SoftHSM and breaks when it is told to. Loaded by the broker in tests/it/hsm.rs.
 *
 * MODULE_FAULTS names a folder. If `hang` in it is a named pipe, a signature hangs until somebody opens
 * the pipe for writing. If there is a file `forget`, it is taken away, and all sessions are closed as a
 * module closes them that was restarted. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

typedef unsigned long Result;

/* CK_FUNCTION_LIST of PKCS#11 2.40: a version, and 68 functions in the order of the standard. */
struct functions {
  unsigned char version[2];
  void *function[68];
};
enum { CLOSE_ALL_SESSIONS = 14, GET_SESSION_INFO = 15, SIGN = 43, GET_FUNCTION_LIST = 3 };

struct session_info {
  unsigned long slot, state, flags, error;
};

static struct functions *genuine;
static struct functions faulty;

static void fault(char *path, size_t size, const char *name) {
  const char *folder = getenv("MODULE_FAULTS");
  snprintf(path, size, "%s/%s", folder ? folder : "/nonexistent", name);
}

static Result sign(unsigned long session, void *data, unsigned long length, void *signature, unsigned long *signature_length) {
  char path[4096];
  fault(path, sizeof path, "hang");
  int pipe = open(path, O_RDONLY);
  if (pipe >= 0) close(pipe);
  fault(path, sizeof path, "forget");
  if (unlink(path) == 0) {
    struct session_info info;
    ((Result(*)(unsigned long, struct session_info *))genuine->function[GET_SESSION_INFO])(session, &info);
    ((Result(*)(unsigned long))genuine->function[CLOSE_ALL_SESSIONS])(info.slot);
  }
  Result (*sign)(unsigned long, void *, unsigned long, void *, unsigned long *) = genuine->function[SIGN];
  return sign(session, data, length, signature, signature_length);
}

Result C_GetFunctionList(struct functions **list);

Result C_GetFunctionList(struct functions **list) {
  if (!genuine) {
    void *module = dlopen("/usr/lib/softhsm/libsofthsm2.so", RTLD_NOW | RTLD_LOCAL);
    Result (*get)(struct functions **) = module ? dlsym(module, "C_GetFunctionList") : NULL;
    if (!get || get(&genuine) != 0) return 5; /* CKR_GENERAL_ERROR */
    faulty = *genuine;
    faulty.function[SIGN] = sign;
    faulty.function[GET_FUNCTION_LIST] = C_GetFunctionList;
  }
  *list = &faulty;
  return 0;
}
