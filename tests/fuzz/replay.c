/* replay.c -- a main for a fuzzer that runs it over the files of a folder, so that ctest replays the
 * corpus in every build, without clang. Fails when the folder has no file: an empty replay proves
 * nothing.
 *
 * Usage:   fuzz_NAME FOLDER
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PATH_BYTES 4096
#define INPUT_BYTES_MAX ((size_t)4 * 1024 * 1024)

/* The data is copied to a block of exactly its size, so that the address sanitizer sees every read
 * past its end. */
static int replay(const char *path, uint8_t *scratch)
{
    FILE *f = fopen(path, "rb");
    if (!f) {
        perror(path);
        return -1;
    }
    size_t size = fread(scratch, 1, INPUT_BYTES_MAX, f);
    (void)fclose(f);
    uint8_t *exact = malloc(size ? size : 1);
    if (!exact)
        return -1;
    for (size_t i = 0; i < size; i++)
        exact[i] = scratch[i];
    (void)LLVMFuzzerTestOneInput(exact, size);
    free(exact);
    return 0;
}

static int replay_folder(const char *folder, DIR *dir, uint8_t *scratch)
{
    char path[PATH_BYTES];
    int count = 0;

    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        int len = snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (entry->d_name[0] == '.' || len < 0 || (size_t)len >= sizeof path)
            continue;
        if (replay(path, scratch) < 0)
            return -1;
        count++;
    }
    return count;
}

int main(int argc, char **argv)
{
    DIR *dir = argc == 2 ? opendir(argv[1]) : NULL;
    uint8_t *scratch = malloc(INPUT_BYTES_MAX);
    int count = -1;

    if (dir && scratch)
        count = replay_folder(argv[1], dir, scratch);
    printf("%d inputs replayed\n", count);
    free(scratch);
    if (dir)
        (void)closedir(dir);
    return count > 0 ? 0 : 1;
}
