#include "predict/touch.h"

#include <stddef.h>

static bool has_trap(const struct touch_page *p, uint64_t tag)
{
    unsigned count = atomic_load(&p->trap_count);

    for (unsigned i = 0; i < count; i++)
        if (p->trap_tag[i] == tag)
            return true;
    return false;
}

/* The tag is stored before the count that makes it valid: the process may end in between. */
void touch_add(struct touch_page *p, enum touch_slot slot, const void *tag)
{
    if (!p)
        return;
    unsigned count = atomic_load_explicit(&p->slot[slot].count, memory_order_relaxed);
    if (count < TOUCH_TAGS_MAX)
        p->slot[slot].tag[count] = (uintptr_t)tag;
    atomic_store_explicit(&p->slot[slot].count, count + 1, memory_order_release);
    if (p->trap && slot == p->trap_slot && has_trap(p, (uintptr_t)tag)) {
        atomic_store(&p->trapped, true);
        p->trap();
    }
}

void touch_end(struct touch_page *p, enum touch_slot slot)
{
    if (!p)
        return;
    atomic_store_explicit(&p->slot[slot].count, 0, memory_order_release);
    (void)atomic_fetch_add_explicit(&p->beats, 1, memory_order_relaxed);
}

void touch_set(struct touch_page *p, enum touch_slot slot, const void *tag)
{
    touch_end(p, slot);
    touch_add(p, slot, tag);
}
