/* See fields.h. */
#include "codec/records/fields.h"

#include <stdlib.h>

#include "codec/framing.h"

struct cell fields_place(struct filling *f, const char *name)
{
    struct cell c;

    if (!cell_place(&f->rec, name, &f->hint, &c))
        abort();
    return c;
}

void fields_must(int rc)
{
    if (rc != 0)
        abort();
}

void fields_put_text(struct filling *f, const char *name, struct str s)
{
    struct cell c = fields_place(f, name);

    fields_must(cell_set_string(&c, s));
}

void fields_put_optional(struct filling *f, const char *name, struct str s)
{
    struct cell c = fields_place(f, name);

    fields_must(s.ptr != NULL ? cell_set_string(&c, s) : cell_set_null(&c));
}

void fields_put_bytes(struct filling *f, const char *name, struct str s)
{
    struct cell c = fields_place(f, name);

    fields_must(s.ptr != NULL ? cell_set_bytes(&c, s) : cell_set_null(&c));
}

void fields_put_number(struct filling *f, const char *name, int64_t n)
{
    struct cell c = fields_place(f, name);

    fields_must(n != NO_NUMBER ? cell_set_long(&c, n) : cell_set_null(&c));
}

void fields_put_int(struct filling *f, const char *name, int64_t n)
{
    if (n != NO_NUMBER && n > INT32_MAX)
        n = INT32_MAX;
    if (n != NO_NUMBER && n < INT32_MIN)
        n = INT32_MIN;
    fields_put_number(f, name, n);
}

void fields_put_boolean(struct filling *f, const char *name, bool b)
{
    struct cell c = fields_place(f, name);

    fields_must(cell_set_boolean(&c, b));
}

bool fields_enter(struct filling *f, const char *name, bool there, struct filling *out)
{
    struct cell c = fields_place(f, name);

    if (!there) {
        fields_must(cell_set_null(&c));
        return false;
    }
    *out = (struct filling){.hint = 0};
    fields_must(cell_enter(&c, AVRO_RECORD, &out->rec));
    return true;
}

int fields_open(struct schemas *ss, struct str value, const char *full_name,
                struct reading *r, struct err *e)
{
    const struct schema *sc;
    struct str datum;

    if (framing_open(ss, value, &sc, &datum, e) != FRAMING_OK ||
        avro_decode(ss, sc, datum, &r->rec, e) != 0)
        return -1;
    if (!str_is(str_of(sc->full_name), full_name))
        return err_input(e, "RecordUnknown", "no %s", full_name);
    return 0;
}

struct str fields_get_text(struct reading *r, const char *name)
{
    struct cell c;
    struct str s = STR_NULL;

    if (cell_field(&r->rec, name, &r->hint, &c) && cell_string(&c, r->a, &s) != 0)
        r->rc = -1;
    return s;
}

struct str fields_get_bytes(struct reading *r, const char *name)
{
    struct cell c;
    struct str s = STR_NULL;

    if (cell_field(&r->rec, name, &r->hint, &c) && cell_bytes(&c, r->a, &s) != 0)
        r->rc = -1;
    return s;
}

int64_t fields_get_number(struct reading *r, const char *name)
{
    struct cell c;
    int64_t n = NO_NUMBER;

    if (cell_field(&r->rec, name, &r->hint, &c) && cell_long(&c, &n) != 0)
        r->rc = -1;
    return n;
}

bool fields_get_boolean(struct reading *r, const char *name)
{
    struct cell c;
    bool b = false;

    if (cell_field(&r->rec, name, &r->hint, &c) && cell_boolean(&c, &b) != 0)
        r->rc = -1;
    return b;
}
