/* lanes_fold.h -- lanes_sum and lanes_most for kinds that have no instruction for them.
 *
 * Threads: none; pure functions.
 */
LANES_INLINE float lanes_sum(lanes v)
{
    for (int half = LANES / 2; half; half /= 2)
        for (int i = 0; i < half; i++)
            v[i] += v[i + half];
    return v[0];
}

LANES_INLINE float lanes_most(lanes v)
{
    for (int half = LANES / 2; half; half /= 2)
        for (int i = 0; i < half; i++)
            v[i] = v[i] > v[i + half] ? v[i] : v[i + half];
    return v[0];
}
