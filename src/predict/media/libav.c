#include "predict/media/libav.h"

#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

#include "base/mem.h"

#define NAME_OF(library, major) "lib" library ".so." AV_STRINGIFY(major)

enum { avutil, avcodec, avformat, swscale, swresample, LIBRARIES };

static const char *const names[LIBRARIES] = {
    [avutil] = NAME_OF("avutil", LIBAVUTIL_VERSION_MAJOR),
    [avcodec] = NAME_OF("avcodec", LIBAVCODEC_VERSION_MAJOR),
    [avformat] = NAME_OF("avformat", LIBAVFORMAT_VERSION_MAJOR),
    [swscale] = NAME_OF("swscale", LIBSWSCALE_VERSION_MAJOR),
    [swresample] = NAME_OF("swresample", LIBSWRESAMPLE_VERSION_MAJOR),
};

#define ROW(from, function) { from, #function, offsetof(struct libav, function) },
static const struct {
    int library;
    const char *name;
    size_t at;
} functions[] = { LIBAV_FUNCTIONS(ROW) };
#undef ROW

int libav_load(struct libav *out, struct error *e)
{
    void *library[LIBRARIES];

    for (int i = 0; i < LIBRARIES; i++) {
        library[i] = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
        if (!library[i])
            return error_set(e, ERROR_FAILED_PRECONDITION,
                             "ffmpeg's libraries decode media, and %s is not installed", names[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(functions); i++) {
        void *address = dlsym(library[functions[i].library], functions[i].name);
        if (!address)
            return error_set(e, ERROR_FAILED_PRECONDITION, "%s has no %s",
                             names[functions[i].library], functions[i].name);
        memcpy((char *)out + functions[i].at, &address, sizeof address);
    }
    return 0;
}
