#include "predict/media/libav.h"

#include <dlfcn.h>
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

int libav_load(struct libav *out, struct error *e)
{
    void *library[LIBRARIES];

    for (int i = 0; i < LIBRARIES; i++) {
        library[i] = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
        if (!library[i])
            return error_set(e, ERROR_FAILED_PRECONDITION,
                             "ffmpeg's libraries decode media, and %s is not installed", names[i]);
    }
#define LOAD(from, function)                                                                       \
    {                                                                                              \
        void *address = dlsym(library[from], #function);                                           \
        if (!address)                                                                              \
            return error_set(e, ERROR_FAILED_PRECONDITION, "%s has no %s", names[from],            \
                             #function);                                                           \
        memcpy(&out->function, &address, sizeof address);                                          \
    }
    LIBAV_FUNCTIONS(LOAD)
#undef LOAD
    return 0;
}
