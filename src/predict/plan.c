#include "predict/plan.h"

#define SEQUENCES_DEFAULT 16
#define ROWS_DEFAULT 512

struct batcher_plan plan_for(const struct model *m)
{
    return (struct batcher_plan){
        .sequences = m->sequences ? m->sequences : SEQUENCES_DEFAULT,
        .rows_max = ROWS_DEFAULT,
        .decode_apart = true,
    };
}
