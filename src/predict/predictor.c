#include "predict/predictor.h"

void answer_release(struct answer *a)
{
    if (a)
        buf_release(&a->response);
}
