/* tile_config.h -- _tile_loadconfig as it should be: GCC before 12.4 and 13.3 tells the optimiser that
 * it reads eight bytes of its 64, and so the rest may never be written.
 *
 * Why: llama.cpp's products with tiles (AMX) then end in an illegal instruction. tools/deps includes
 * this before every C++ file of ggml-cpu.
 * Source: https://gcc.gnu.org/bugzilla/show_bug.cgi?id=114098
 */
#if defined(__AMX_TILE__)
#include <immintrin.h>

static inline void tile_loadconfig(const void *config)
{
    __asm__ volatile("ldtilecfg %0" : : "m"(*(const char(*)[64])config));
}
#undef _tile_loadconfig
#define _tile_loadconfig tile_loadconfig
#endif
