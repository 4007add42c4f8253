/* front-sandbox assert-once: asks a running sandbox for calls that were executed twice.
 */
#include <arpa/inet.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"

#include "sandbox.h"

#define ANSWER_MAX ((size_t)64 << 20)

/* http://127.0.0.1:PORT, with or without a path behind it. */
static int url_port(const char *url, int64_t *port, struct err *e)
{
    struct str rest = str_of(url);
    if (!str_starts(rest, "http://127.0.0.1:") && !str_starts(rest, "http://localhost:"))
        return err_set(e, ERR_SETTINGS, "--url: http://127.0.0.1:PORT");
    rest.ptr += 17;
    rest.len -= 17;
    return parse_i64(str_split(&rest, '/'), 1, 65535, port, e);
}

static int fetch(int64_t port, const char *path, struct buf *out, struct err *e)
{
    char part[65536];
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int rc = connect(fd, (struct sockaddr *)&at, sizeof at);
    char *ask = mem_printf("GET %s HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n", path);
    if (rc == 0 && send(fd, ask, strlen(ask), MSG_NOSIGNAL) < 0)
        rc = -1;
    ssize_t n = rc == 0 ? recv(fd, part, sizeof part, 0) : 0;
    for (; n > 0; n = recv(fd, part, sizeof part, 0))
        (void)buf_add(out, part, (size_t)n);
    mem_free(ask);
    close(fd);
    if (rc < 0 || out->over || out->len == 0)
        return err_set(e, ERR_SYSTEM, "no answer from port %lld", (long long)port);
    return 0;
}

static json_t *ask_repeats(const char *url, const char *allow, struct err *e)
{
    struct buf out;
    int64_t port = 0;
    json_t *j = NULL;
    buf_init(&out, ANSWER_MAX);
    char *path = mem_strdup("/_sandbox/repeats");
    if (allow != NULL) {
        struct buf b;
        buf_init(&b, 8192);
        (void)buf_add_cstr(&b, "/_sandbox/repeats?allow=");
        for (const char *s = allow; *s != '\0'; s++)
            (void)buf_printf(&b, "%%%02x", (unsigned)(unsigned char)*s);
        mem_free(path);
        path = mem_strdup(b.data);
        buf_fini(&b);
    }
    if (url_port(url, &port, e) == 0 && fetch(port, path, &out, e) == 0) {
        const char *body = memmem(out.data, out.len, "\r\n\r\n", 4);
        if (body != NULL)
            j = json_loads(body + 4, 0, NULL);
        if (j == NULL)
            err_set(e, ERR_SYSTEM, "%s does not answer like a sandbox", url);
    }
    mem_free(path);
    buf_fini(&out);
    return j;
}

static size_t print_repeats(const json_t *answer)
{
    const json_t *all = json_object_get(answer, "repeated");
    for (size_t i = 0; i < json_array_size(all); i++) {
        char *line = json_dumps(json_array_get(all, i), JSON_COMPACT);
        puts(line);
        free(line); /* jansson's */
    }
    return json_array_size(all);
}

int assert_once(int argc, char **argv)
{
    static const struct option options[] = {
        {"url", required_argument, NULL, 'u'},
        {"allow-identical", optional_argument, NULL, 'a'},
        {NULL, 0, NULL, 0}};
    const char *url = NULL, *allow = NULL;
    bool allow_all = false;
    struct err e = ERR_INIT;
    int opt = getopt_long(argc, argv, "", options, NULL);
    for (; opt != -1; opt = getopt_long(argc, argv, "", options, NULL)) {
        if (opt == 'u')
            url = optarg;
        else if (opt == 'a')
            allow = optarg;
        else
            return 2;
        allow_all = allow_all || (opt == 'a' && optarg == NULL);
    }
    json_t *answer = url != NULL ? ask_repeats(url, allow, &e) : NULL;
    if (answer == NULL) {
        fprintf(stderr, "front-sandbox assert-once: %s\n",
                url != NULL ? e.text : "--url URL is needed");
        return 2;
    }
    size_t n = print_repeats(answer);
    bool complete = json_is_true(json_object_get(answer, "complete"));
    fprintf(stderr, "%zu calls were executed more than once%s%s\n", n,
            allow_all && n > 0 ? " (allowed)" : "",
            complete ? "" : "; the journal is off or has lost its beginning");
    json_decref(answer);
    if (!complete)
        return 2;
    return n > 0 && !allow_all ? 1 : 0;
}
