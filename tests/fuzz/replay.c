/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* Feeds every file of the directories that are its arguments to a fuzz target, for compilers
 * without libFuzzer, and for every run of the tests. A directory without files is a mistake, not a
 * success. */

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "fuzz.h"

/* The target gets a block of exactly the file's size, so that a sanitizer sees a step beyond it. */
static int replay_file(const char *path, size_t size)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data = malloc(size ? size : 1);
    int whole = file && data && fread(data, 1, size, file) == size;

    if (whole) {
        LLVMFuzzerTestOneInput(data, size);
    }
    else {
        fprintf(stderr, "%s cannot be read\n", path);
    }
    if (file) {
        fclose(file);
    }
    free(data);
    return whole;
}

/* The number of files, or -1. */
static int replay_directory(const char *name)
{
    DIR *directory = opendir(name);
    struct dirent *entry;
    int count = 0;

    if (!directory) {
        fprintf(stderr, "%s: %s\n", name, strerror(errno));
        return -1;
    }
    while (count >= 0 && (entry = readdir(directory))) {
        char path[PATH_MAX];
        struct stat status;

        snprintf(path, sizeof(path), "%s/%s", name, entry->d_name);
        if (stat(path, &status) || !S_ISREG(status.st_mode)) {
            continue;
        }
        count = replay_file(path, (size_t)status.st_size) ? count + 1 : -1;
    }
    closedir(directory);
    if (!count) {
        fprintf(stderr, "%s holds no file\n", name);
    }
    return count;
}

int main(int argc, char **argv)
{
    int i, all = 0;

    if (argc < 2) {
        fprintf(stderr, "usage: %s directory ...\n", argv[0]);
        return EXIT_FAILURE;
    }
    for (i = 1; i < argc; i++) {
        int count = replay_directory(argv[i]);

        if (count <= 0) {
            return EXIT_FAILURE;
        }
        all += count;
    }
    printf("%d inputs replayed\n", all);
    return EXIT_SUCCESS;
}
