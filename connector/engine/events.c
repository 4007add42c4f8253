/* front.Event as a record of its topic: of a webhook (ingest.c), of a list of events, of
 * healing (heal.c). */
#include <openssl/evp.h>
#include <stdlib.h>

#include "codec/json.h"
#include "engine/internal.h"
#include "front/event.h"

static struct str keep(struct arena *a, struct str s)
{
    return s.ptr == NULL ? s : (struct str){arena_strndup(a, s.ptr, s.len), s.len};
}

int events_output(struct engine *en, const struct event *from, const char *topic,
                  struct buf *bytes, struct arena *scratch, struct arena *a,
                  struct kafka_output *out)
{
    struct pair pairs[EVENT_HEADERS_MAX];
    struct event ev = *from;
    size_t n;

    if (ev.company_id.ptr == NULL && en->company_id[0] != 0)
        ev.company_id = str_of(en->company_id);
    buf_reset(bytes);
    if (event_encode(en->ss, &ev, bytes) != 0)
        return -1;
    n = event_headers(&ev, scratch, pairs);
    *out = (struct kafka_output){.topic = topic,
                                 .partition = -1,
                                 .key = keep(a, event_key(&ev)),
                                 .value = keep(a, buf_str(bytes)),
                                 .n_headers = n};
    out->headers =
        arena_alloc(a, (EVENT_HEADERS_MAX + EVENT_HEADERS_MORE) * sizeof *out->headers);
    for (size_t i = 0; i < n; i++)
        out->headers[i] =
            (struct kafka_header){keep(a, pairs[i].name), keep(a, pairs[i].value)};
    return 0;
}

static struct str digest_of(struct str json, struct arena *a)
{
    unsigned char md[EVP_MAX_MD_SIZE];
    char *hex = arena_alloc(a, 33);

    if (EVP_Digest(json.ptr, json.len, md, NULL, EVP_sha256(), NULL) != 1)
        abort();
    hex_encode(md, 16, hex);
    return str_of(hex);
}

/* What cannot be read as an event is one all the same: the payload has all of it. */
void events_read(struct str json, struct arena *a, struct event *out)
{
    struct err e = ERR_INIT;

    if (event_read(json, a, out, &e) == 0)
        return;
    *out = (struct event){.id = out->id.len > 0 ? out->id : digest_of(json, a),
                          .type = out->type.len > 0 ? out->type : STR_LIT(""),
                          .emitted_at = NO_NUMBER,
                          .conversation.created_at = NO_NUMBER,
                          .payload = json};
}

struct str events_bare(const struct event *ev, struct arena *a)
{
    struct buf text;

    buf_init(&text, SIZE_MAX);
    (void)buf_add_cstr(&text, "{\"id\":");
    (void)json_quote(&text, ev->id);
    (void)buf_add_char(&text, '}');
    struct str bare = keep(a, buf_str(&text));
    buf_fini(&text);
    return bare;
}

void events_count(struct engine *en, const char *delivery, int64_t emitted_at)
{
    int64_t delay_ms = clock_wall(en->clock) - emitted_at;

    metric_add(metrics_get(en->metrics, M_EVENTS, delivery, NULL), 1);
    if (emitted_at != NO_NUMBER)
        metric_observe(metrics_get(en->metrics, M_EVENT_DELAY, delivery, NULL),
                       delay_ms > 0 ? (double)delay_ms / 1000 : 0);
}
