/* Counters, gauges and histograms, and their Prometheus page. The metrics are rows of one
 * table (the engine's metrics_table); a row with labels owns a family of series. A closed
 * label set is created at 0 from the start; an open one on first use, up to a cap per
 * family. One thread. */
#ifndef BASE_METRICS_H
#define BASE_METRICS_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

struct metric_row {
    const char *name; /* without the prefix "front_connector_" */
    enum metric_type type;
    const char *labels; /* "" or comma-separated label names, in order */
    const char *const
        *closed; /* values of the (only) label, NULL-ended; NULL: open or none */
    const char *help;
};

struct metrics;
struct metric; /* one series */

struct metrics *metrics_new(const struct metric_row *rows, size_t n);
void metrics_free(struct metrics *ms);

/* The series of row `row` with these label values (as many as the row has labels;
 * NULL-ended variadic strings). Made when new; beyond 2,000 series of a row all share one
 * with the values "other". Never NULL. Valid until metrics_free: keep it on hot paths. */
struct metric *metrics_get(struct metrics *ms, size_t row, ...) __attribute__((sentinel));

void metric_add(struct metric *m, double n);
void metric_set(struct metric *m, double value);
void metric_observe(struct metric *m,
                    double seconds);         /* histogram: buckets 5 ms .. 3600 s */
double metric_value(const struct metric *m); /* histogram: the count */

/* The Prometheus text page, with process_* of this process at the end. */
void metrics_print(struct metrics *ms, struct buf *out);

#endif
