/* The subcommands are clients of a running sandbox. assert-once asks it for calls that
 * were executed twice. */
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

static int exchange(int fd, struct str ask, struct buf *out)
{
    char part[65536];
    while (ask.len > 0) {
        ssize_t n = send(fd, ask.ptr, ask.len, MSG_NOSIGNAL);
        if (n <= 0)
            return -1;
        ask.ptr += n;
        ask.len -= (size_t)n;
    }
    ssize_t n = recv(fd, part, sizeof part, 0);
    for (; n > 0; n = recv(fd, part, sizeof part, 0))
        (void)buf_add(out, part, (size_t)n);
    return n < 0 || out->over || out->len == 0 ? -1 : 0;
}

static int fetch(int64_t port, struct str ask, struct buf *out, struct err *e)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int rc = connect(fd, (struct sockaddr *)&at, sizeof at);
    if (rc == 0)
        rc = exchange(fd, ask, out);
    close(fd);
    if (rc < 0)
        return err_set(e, ERR_SYSTEM, "no answer from port %lld", (long long)port);
    return 0;
}

int client_ask(const char *url, const char *method, const char *path, struct str body,
               int *status, json_t **answer, struct err *e)
{
    struct buf ask, out;
    int64_t port = 0, code = 0;
    int rc = -1;
    buf_init(&ask, ANSWER_MAX);
    buf_init(&out, ANSWER_MAX);
    (void)buf_printf(&ask,
                     "%s %s HTTP/1.0\r\nHost: 127.0.0.1\r\nContent-Length: %zu\r\n\r\n",
                     method, path, body.len);
    (void)buf_add(&ask, body.ptr, body.len);
    *answer = NULL;
    if (url_port(url, &port, e) == 0 && fetch(port, buf_str(&ask), &out, e) == 0) {
        const char *text = memmem(out.data, out.len, "\r\n\r\n", 4);
        if (text != NULL && out.len > 12 &&
            parse_i64((struct str){out.data + 9, 3}, 100, 599, &code, e) == 0)
            *answer = json_loads(text + 4, 0, NULL);
        rc = *answer != NULL
                 ? 0
                 : err_set(e, ERR_SYSTEM, "%s does not answer like a sandbox", url);
    }
    *status = (int)code;
    buf_fini(&ask);
    buf_fini(&out);
    return rc;
}

static json_t *ask_repeats(const char *url, const char *allow, struct err *e)
{
    struct buf path;
    json_t *j = NULL;
    int status = 0;
    buf_init(&path, 8192);
    (void)buf_add_cstr(&path, "/_sandbox/repeats");
    if (allow != NULL)
        (void)buf_add_cstr(&path, "?allow=");
    for (const char *s = allow; s != NULL && *s != '\0'; s++)
        (void)buf_printf(&path, "%%%02x", (unsigned)(unsigned char)*s);
    (void)client_ask(url, "GET", path.data, STR_LIT(""), &status, &j, e);
    buf_fini(&path);
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
