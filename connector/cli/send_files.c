/* See send_files.h. Owns nothing. */
#include "cli/send_files.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static const char type_mark[] = ";type=";

static bool is_url(struct str s)
{
    return str_starts(s, "https://") || str_starts(s, "http://");
}

/* The last segment of a path; of a URL without what follows. */
static struct str base_name(struct str path)
{
    struct str name = path, rest = path;

    if (is_url(path))
        rest.len =
            strcspn(path.ptr, "?#") < path.len ? strcspn(path.ptr, "?#") : path.len;
    while (rest.ptr != NULL)
        name = str_split(&rest, '/');
    return name.len > 0 ? name : STR_LIT("file");
}

static int read_all(FILE *in, size_t size, struct arena *a, struct str *out)
{
    char *bytes = arena_alloc(a, size + 1);
    size_t n = fread(bytes, 1, size + 1, in);

    *out = (struct str){bytes, n};
    return ferror(in) || n != size ? -1 : 0; /* it changed meanwhile */
}

static int read_file(const char *path, size_t max, struct arena *a, struct str *out,
                     struct err *e)
{
    FILE *in = fopen(path, "re");
    struct stat st;
    int rc = 0;

    if (in == NULL)
        return err_input(e, NULL, "--attach: %s: %s", path, strerror(errno));
    if (fstat(fileno(in), &st) != 0 || !S_ISREG(st.st_mode))
        rc = err_input(e, NULL, "--attach: %s is no file", path);
    else if ((uint64_t)st.st_size > max)
        rc = err_input(e, NULL, "--attach: %s has %lld bytes, more than %zu", path,
                       (long long)st.st_size, max);
    else if (read_all(in, (size_t)st.st_size, a, out) != 0)
        rc = err_input(e, NULL, "--attach: %s cannot be read", path);
    fclose(in);
    return rc;
}

int send_file(const char *text, size_t max, struct arena *a, struct attachment *out,
              struct err *e)
{
    const char *type = strstr(text, type_mark);
    struct str place =
        type != NULL ? (struct str){text, (size_t)(type - text)} : str_of(text);
    const char *path = arena_strndup(a, place.ptr, place.len);

    *out = (struct attachment){.filename = base_name(str_of(path))};
    if (type != NULL)
        out->content_type = str_of(type + strlen(type_mark));
    if (is_url(place)) {
        out->url = str_of(path);
        return 0;
    }
    return read_file(path, max, a, &out->data, e);
}
