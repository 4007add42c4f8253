/* Counters, gauges, histograms and their Prometheus page. Owns all series; rows are the
 * caller's. Invariant: a series, once handed out, stays where it is until metrics_free.
 */
#include "base/metrics.h"

#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"

#define PREFIX "front_connector_"

enum { SERIES_MAX = 2000, LABELS_MAX = 4, KEY_MAX = 1024, LABELS_BYTES_MAX = 4096 };

static const double bounds[] = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1,
                                2.5,   5,    10,    30,   60,  300,  900, 3600};
enum { BOUNDS = sizeof(bounds) / sizeof(bounds[0]) };

struct metric {
    UT_hash_handle hh;
    char *key;      /* of the map: the values, as join() makes it of them */
    char *labels;   /* as printed between { and }; "" without labels */
    double value;   /* counter, gauge; histogram: the sum */
    uint64_t *hits; /* histogram: BOUNDS + 1, not cumulative; else NULL */
};

struct family {
    struct metric *series; /* uthash, in order of creation */
    size_t n_labels;
};

struct metrics {
    const struct metric_row *rows;
    struct family *families; /* one per row */
    size_t n;
};

static struct metric *series_of(struct metrics *ms, size_t row,
                                const char *const *values);
static void print_process(struct buf *out);

static const char *type_name(enum metric_type type)
{
    switch (type) {
    case METRIC_COUNTER:
        return "counter";
    case METRIC_GAUGE:
        return "gauge";
    case METRIC_HISTOGRAM:
        return "histogram";
    }
    return "untyped";
}

static size_t count_labels(const char *labels)
{
    size_t n = labels[0] != '\0' ? 1 : 0;

    for (; *labels != '\0'; labels++)
        n += *labels == ',' ? 1 : 0;
    return n;
}

struct metrics *metrics_new(const struct metric_row *rows, size_t n)
{
    struct metrics *ms = mem_zalloc(sizeof(*ms));
    size_t i;

    ms->rows = rows;
    ms->n = n;
    ms->families = mem_array(n, sizeof(struct family));
    for (i = 0; i < n; i++) {
        const char *const *value = rows[i].closed;

        ms->families[i].n_labels = count_labels(rows[i].labels);
        assert(ms->families[i].n_labels <= LABELS_MAX);
        if (ms->families[i].n_labels == 0)
            (void)series_of(ms, i, NULL);
        for (; value != NULL && *value != NULL; value++)
            (void)series_of(ms, i, value);
    }
    return ms;
}

void metrics_free(struct metrics *ms)
{
    struct metric *m, *next;
    size_t i;

    if (ms == NULL)
        return;
    for (i = 0; i < ms->n; i++) {
        HASH_ITER (hh, ms->families[i].series, m, next) {
            HASH_DEL(ms->families[i].series, m);
            mem_free(m->key);
            mem_free(m->labels);
            mem_free(m->hits);
            mem_free(m);
        }
    }
    mem_free(ms->families);
    mem_free(ms);
}

struct metric *metrics_get(struct metrics *ms, size_t row, ...)
{
    const char *values[LABELS_MAX];
    va_list ap;
    size_t i;

    assert(row < ms->n);
    va_start(ap, row);
    for (i = 0; i < ms->families[row].n_labels; i++) {
        values[i] = va_arg(ap, const char *);
        assert(values[i] != NULL);
    }
    assert(va_arg(ap, const char *) == NULL);
    va_end(ap);
    return series_of(ms, row, values);
}

void metric_add(struct metric *m, double n)
{
    m->value += n;
}

void metric_set(struct metric *m, double value)
{
    m->value = value;
}

void metric_observe(struct metric *m, double seconds)
{
    size_t i = 0;

    assert(m->hits != NULL);
    while (i < BOUNDS && seconds > bounds[i])
        i++;
    m->hits[i]++;
    m->value += seconds;
}

static uint64_t count_of(const struct metric *m)
{
    uint64_t n = 0;
    size_t i;

    for (i = 0; i <= BOUNDS; i++)
        n += m->hits[i];
    return n;
}

double metric_value(const struct metric *m)
{
    return m->hits != NULL ? (double)count_of(m) : m->value;
}

static void add_label_value(struct buf *out, const char *value)
{
    for (; *value != '\0'; value++) {
        if (*value == '\n')
            (void)buf_add_cstr(out, "\\n");
        else if (*value == '"' || *value == '\\')
            (void)buf_printf(out, "\\%c", *value);
        else
            (void)buf_add_char(out, *value);
    }
}

/* name="value",... */
static void add_labels(struct buf *out, const char *names, const char *const *values)
{
    struct str rest = str_of(names);
    size_t i;

    for (i = 0; rest.len > 0; i++) {
        struct str name = str_split(&rest, ',');

        (void)buf_printf(out, "%s%.*s=\"", i > 0 ? "," : "", STR_ARG(name));
        add_label_value(out, values[i]);
        (void)buf_add_char(out, '"');
    }
}

/* The values with a NUL behind each; 0: longer than KEY_MAX. Several series are looked up
 * for every command, so nothing is printed to find one. */
static size_t join(const char *const *values, size_t n, char key[KEY_MAX])
{
    size_t len = 0;
    size_t i;

    for (i = 0; i < n; i++) {
        size_t size = strlen(values[i]) + 1;

        if (size > KEY_MAX - len)
            return 0;
        memcpy(key + len, values[i], size);
        len += size;
    }
    return len;
}

static struct metric *series_new(struct metrics *ms, size_t row,
                                 const char *const *values, const char *key, size_t len)
{
    struct metric *m = mem_zalloc(sizeof(*m));
    struct buf labels;

    if (ms->rows[row].type == METRIC_HISTOGRAM)
        m->hits = mem_array(BOUNDS + 1, sizeof(uint64_t));
    buf_init(&labels, LABELS_BYTES_MAX);
    add_labels(&labels, ms->rows[row].labels, values);
    m->labels = buf_take(&labels, NULL);
    m->key = mem_dup(key, len);
    HASH_ADD_KEYPTR(hh, ms->families[row].series, m->key, len, m);
    return m;
}

/* What is too long, or one series too many, is counted as "other". */
static struct metric *series_of(struct metrics *ms, size_t row, const char *const *values)
{
    static const char *const others[LABELS_MAX] = {"other", "other", "other", "other"};
    struct family *fam = &ms->families[row];
    char key[KEY_MAX];
    size_t len = join(values, fam->n_labels, key);
    bool fits = len > 0 || fam->n_labels == 0;
    struct metric *m = NULL;

    if (fits)
        HASH_FIND(hh, fam->series, key, len, m);
    if (m == NULL && (!fits || HASH_COUNT(fam->series) >= SERIES_MAX)) {
        values = others;
        len = join(values, fam->n_labels, key);
        HASH_FIND(hh, fam->series, key, len, m);
    }
    return m != NULL ? m : series_new(ms, row, values, key, len);
}

static void add_number(struct buf *out, double value)
{
    if (isnan(value))
        (void)buf_add_cstr(out, "NaN\n");
    else if (isinf(value))
        (void)buf_add_cstr(out, value > 0 ? "+Inf\n" : "-Inf\n");
    else if (fabs(value) < 1e15 && value == floor(value))
        (void)buf_printf(out, "%" PRId64 "\n", (int64_t)value);
    else
        (void)buf_printf(out, "%.15g\n", value);
}

static void print_simple(const char *name, const struct metric *m, struct buf *out)
{
    if (m->labels[0] != '\0')
        (void)buf_printf(out, PREFIX "%s{%s} ", name, m->labels);
    else
        (void)buf_printf(out, PREFIX "%s ", name);
    add_number(out, m->value);
}

static void print_histogram(const char *name, const struct metric *m, struct buf *out)
{
    const char *comma = m->labels[0] != '\0' ? "," : "";
    uint64_t n = 0;
    size_t i;

    for (i = 0; i < BOUNDS; i++) {
        n += m->hits[i];
        (void)buf_printf(out, PREFIX "%s_bucket{%s%sle=\"%g\"} %" PRIu64 "\n", name,
                         m->labels, comma, bounds[i], n);
    }
    n += m->hits[BOUNDS];
    (void)buf_printf(out, PREFIX "%s_bucket{%s%sle=\"+Inf\"} %" PRIu64 "\n", name,
                     m->labels, comma, n);
    (void)buf_printf(out, PREFIX "%s_sum", name);
    if (m->labels[0] != '\0')
        (void)buf_printf(out, "{%s}", m->labels);
    (void)buf_add_char(out, ' ');
    add_number(out, m->value);
    (void)buf_printf(out, PREFIX "%s_count", name);
    if (m->labels[0] != '\0')
        (void)buf_printf(out, "{%s}", m->labels);
    (void)buf_printf(out, " %" PRIu64 "\n", n);
}

void metrics_print(struct metrics *ms, struct buf *out)
{
    size_t i;

    for (i = 0; i < ms->n; i++) {
        const struct metric_row *row = &ms->rows[i];
        const struct metric *m;

        (void)buf_printf(out, "# HELP " PREFIX "%s %s\n# TYPE " PREFIX "%s %s\n",
                         row->name, row->help, row->name, type_name(row->type));
        for (m = ms->families[i].series; m != NULL; m = m->hh.next) {
            if (row->type == METRIC_HISTOGRAM)
                print_histogram(row->name, m, out);
            else
                print_simple(row->name, m, out);
        }
    }
    print_process(out);
}

/* ---- process_*, under the names that every Prometheus client library uses ---- */

static struct str read_small(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n;

    if (fd < 0)
        return STR_NULL;
    n = read(fd, text, size);
    (void)close(fd);
    return n > 0 ? (struct str){text, (size_t)n} : STR_NULL;
}

static int64_t number_of(struct str s)
{
    struct err e = ERR_INIT;
    int64_t n = 0;

    (void)parse_i64(str_trim(s), 0, INT64_MAX, &n, &e); /* 0 when it is none */
    return n;
}

/* The start of the machine, seconds since the epoch, from the line "btime N" of
 * /proc/stat. */
static int64_t boot_seconds(void)
{
    char text[65536];
    struct str rest = read_small("/proc/stat", text, sizeof(text));

    while (rest.len > 0) {
        struct str line = str_split(&rest, '\n');

        if (str_starts(line, "btime "))
            return number_of((struct str){line.ptr + 6, line.len - 6});
    }
    return 0;
}

static int64_t open_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int64_t n = -3; /* ".", ".." and this directory itself */

    if (dir == NULL)
        return 0;
    while (readdir(dir) != NULL)
        n++;
    (void)closedir(dir);
    return n > 0 ? n : 0;
}

static void print_one(struct buf *out, const char *name, const char *type, double value)
{
    (void)buf_printf(out, "# TYPE process_%s %s\nprocess_%s ", name, type, name);
    add_number(out, value);
}

static void print_process(struct buf *out)
{
    char text[2048];
    struct str rest = read_small("/proc/self/stat", text, sizeof(text));
    double ticks = (double)sysconf(_SC_CLK_TCK);
    int64_t fields[25] = {0}; /* numbered as in proc(5) */
    const char *name_end = rest.len > 0 ? memrchr(rest.ptr, ')', rest.len) : NULL;
    struct rlimit files;
    size_t i;

    if (name_end == NULL)
        return;
    rest = str_trim(
        (struct str){name_end + 1, rest.len - (size_t)(name_end + 1 - rest.ptr)});
    for (i = 3; i < 25 && rest.len > 0; i++)
        fields[i] = number_of(str_split(&rest, ' '));
    print_one(out, "cpu_seconds_total", "counter",
              (double)(fields[14] + fields[15]) / ticks);
    print_one(out, "threads", "gauge", (double)fields[20]);
    print_one(out, "start_time_seconds", "gauge",
              (double)boot_seconds() + (double)fields[22] / ticks);
    print_one(out, "virtual_memory_bytes", "gauge", (double)fields[23]);
    print_one(out, "resident_memory_bytes", "gauge",
              (double)fields[24] * (double)sysconf(_SC_PAGESIZE));
    print_one(out, "open_fds", "gauge", (double)open_fds());
    if (getrlimit(RLIMIT_NOFILE, &files) == 0)
        print_one(out, "max_fds", "gauge", (double)files.rlim_cur);
}
