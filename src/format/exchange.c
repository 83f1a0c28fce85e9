#include "format/exchange.h"

const struct file_content *file_content_find(const struct file_contents *files, struct str uri)
{
    for (uint32_t i = 0; files && i < files->count; i++)
        if (str_eq(files->item[i].uri, uri))
            return &files->item[i];
    return NULL;
}
