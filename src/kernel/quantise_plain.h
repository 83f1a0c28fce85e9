/* quantise_plain.h -- quantises rows in C, for kinds that have no faster instructions.
 *
 * Threads: none; pure functions.
 */
#include <math.h>

#include "kernel/kernel.h"

static void quantise_group(const float *x, float factor, struct kernel_rows_int8 *group,
                           uint32_t at)
{
    const float to_int = 12582912.0f; /* 1.5 * 2^23: adding it rounds to a whole number */
    float most = 0.0f;
    int32_t sum = 0;

    for (uint32_t i = 0; i < KERNEL_GROUP; i++)
        most = fabsf(x[i]) > most ? fabsf(x[i]) : most;
    float inverse = most > 0.0f ? 127.0f / most : 0.0f;
    for (uint32_t i = 0; i < KERNEL_GROUP; i++) {
        float scaled = x[i] * inverse; /* of a broken model perhaps no number */
        int32_t value = fabsf(scaled) <= 127.5f ? (int32_t)((scaled + to_int) - to_int) : 0;
        group->quant[at][i] = (int8_t)value;
        sum += value;
    }
    group->scale[at] = most / 127.0f * factor;
    group->offset[at] = -KERNEL_BIAS * sum;
}

static void quantise_plain(const float *x, float factor, uint32_t groups,
                           const struct kernel_place *to)
{
    struct kernel_rows_int8 *group = int8_at(to->rows, to->row, to->first);

    for (uint32_t g = 0; g < groups; g++)
        quantise_group(x + (size_t)g * KERNEL_GROUP, factor, group + g, to->row % KERNEL_SIX);
}
