/* See form.h. Invariant: no piece but the heads written here holds the boundary: it is a
 * digest of all that stands between. So equal commands are equal bytes, each time they
 * are sent. */
#include "front/form.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "codec/json.h"
#include "codec/json_value.h"

#define ATTACHMENT "attachment"

enum { PARTS_MAX = 5000, NAME_MAX_BYTES = 1024, TYPE_MAX_BYTES = 200, SHOWN_MAX = 64 };

/* One walk over the body. */
struct walk {
    const char *skip; /* the file field: [] in the body, or absent */
    struct arena *a;
    struct err *e;
    struct form_part *parts;
    size_t n, cap;
};

static int walk_value(struct walk *w, struct str name, struct str value);
static int check_file(const struct attachment *file, struct err *e);
static bool takes_many(const struct op *op);
static void add_files(struct walk *w, const struct command *cmd, const struct op *op);
static void print_boundary(const struct form *form, char out[33]);
static void cut(struct form *form, const char *boundary, struct arena *a);
static void add_head(struct buf *out, const struct form_part *part);
static void escape(struct buf *out, struct str s);

bool form_is_wanted(const struct command *cmd, const struct op *op)
{
    return cmd->n_attachments > 0 || (op != NULL && op->multipart_only);
}

static int walk_body(struct walk *w, const struct command *cmd)
{
    return cmd->body.ptr == NULL ? 0 : walk_value(w, STR_NULL, str_trim(cmd->body));
}

int form_check(const struct command *cmd, const struct op *op, struct err *e)
{
    size_t n = cmd->n_attachments;

    if (n > 0 && (op == NULL || op->file_field == NULL))
        return err_input(e, ATTACHMENT, "%s takes no files",
                         op != NULL ? op->name : "this method and path");
    if (n == 0 && op != NULL && (op->file_required || op->multipart_only))
        return err_input(e, ATTACHMENT, "%s needs a file: give it in attachments",
                         op->name);
    if (n == 0)
        return 0;
    if (n > 1 && !takes_many(op))
        return err_input(e, ATTACHMENT, "%s takes one file, not %zu", op->name, n);
    for (size_t i = 0; i < n; i++)
        if (check_file(&cmd->attachments[i], e) != 0)
            return -1;

    struct arena a;
    arena_init(&a, 0);
    struct walk w = {.skip = op->file_field, .a = &a, .e = e};
    int rc = walk_body(&w, cmd);
    arena_fini(&a);
    return rc;
}

int form_build(const struct command *cmd, const struct op *op, struct arena *a,
               struct form *out, struct err *e)
{
    struct walk w = {.skip = op->file_field, .a = a, .e = e};
    char boundary[33];

    *out = (struct form){.parts = NULL};
    if (walk_body(&w, cmd) != 0)
        return -1;
    add_files(&w, cmd, op);
    out->parts = w.parts;
    out->n_parts = w.n;
    for (size_t i = 0; i < cmd->n_attachments; i++)
        if (cmd->attachments[i].data.ptr == NULL)
            return 0;
    print_boundary(out, boundary);
    out->content_type = arena_printf(a, "multipart/form-data; boundary=%s", boundary);
    cut(out, boundary, a);
    return 0;
}

/* --- the fields --- */

static struct str shown(struct str s)
{
    while (s.len > SHOWN_MAX || (s.len > 0 && !utf8_valid(s)))
        s.len = s.len > SHOWN_MAX ? SHOWN_MAX : s.len - 1;
    return s;
}

static int refuse(struct walk *w, struct str name, const char *what)
{
    return err_input(w->e, ATTACHMENT,
                     "body field %.*s: %s, which a form cannot say: with attachments "
                     "leave it out, or send it in a command of its own",
                     STR_ARG(shown(name)), what);
}

static struct str name_of(struct walk *w, struct str parent, struct str key)
{
    char *text;

    if (parent.ptr == NULL)
        return key;
    text = arena_printf(w->a, "%.*s[%.*s]", STR_ARG(parent), STR_ARG(key));
    return (struct str){text, parent.len + key.len + 2};
}

/* Is the file field inside it? Then the files say that it is there. */
static bool holds_files(const struct walk *w, struct str name)
{
    return strncmp(w->skip, name.ptr, name.len) == 0 && w->skip[name.len] == '[';
}

static int walk_object(struct walk *w, struct str name, struct str object)
{
    size_t pos = 0, n = 0;
    struct str key, value;

    for (; json_next_member(object, &pos, &key, &value); n++) {
        struct str literal = {key.ptr - 1, key.len + 2};

        if (json_unquote_arena(literal, w->a, &key) != 0)
            key = STR_LIT("");
        if (key.len == 0 || memchr(key.ptr, '[', key.len) ||
            memchr(key.ptr, ']', key.len))
            return refuse(w, name.ptr != NULL ? name : key,
                          "has a name that is empty or has a bracket");
        if (memchr(key.ptr, '\0', key.len) != NULL)
            return refuse(w, name.ptr != NULL ? name : STR_LIT(""),
                          "has a name with a NUL in it");
        if (walk_value(w, name_of(w, name, key), value) != 0)
            return -1;
    }
    if (n > 0 || name.ptr == NULL || holds_files(w, name))
        return 0;
    return refuse(w, name, "is an empty object");
}

static int walk_array(struct walk *w, struct str name, struct str array)
{
    size_t pos = 0, n = 0;
    struct str item;

    for (; json_next(array, &pos, &item); n++) {
        const char *index = arena_printf(w->a, "%zu", n);

        if (walk_value(w, name_of(w, name, str_of(index)), item) != 0)
            return -1;
    }
    return n > 0 ? 0 : refuse(w, name, "is an empty array");
}

static void add_part(struct walk *w, struct form_part part)
{
    if (w->n == w->cap) {
        size_t cap = w->cap > 0 ? 2 * w->cap : 16;
        struct form_part *more = arena_zalloc(w->a, cap * sizeof *more);

        if (w->n > 0)
            memcpy(more, w->parts, w->n * sizeof *more);
        w->parts = more;
        w->cap = cap;
    }
    w->parts[w->n++] = part;
}

static int add_text(struct walk *w, struct str name, struct str text)
{
    if (w->n >= PARTS_MAX)
        return err_input(w->e, ATTACHMENT,
                         "the body has more than %d values, more than a form may have",
                         PARTS_MAX);
    add_part(w, (struct form_part){.name = name, .text = text});
    return 0;
}

/* [] is the same as absent there. */
static int skip_value(struct walk *w, struct str name, struct str value)
{
    size_t pos = 0;
    struct str item;

    if (value.ptr[0] == '[' && !json_next(value, &pos, &item))
        return 0;
    return err_input(w->e, ATTACHMENT,
                     "%.*s: files go into attachments, not into the body", STR_ARG(name));
}

static int walk_value(struct walk *w, struct str name, struct str value)
{
    struct str text = value; /* numbers and booleans: as they stand */

    if (name.len > NAME_MAX_BYTES)
        return refuse(w, name, "is too deep, or has a name that is too long");
    if (str_is(name, w->skip))
        return skip_value(w, name, value);
    if (value.ptr[0] == '{')
        return walk_object(w, name, value);
    if (value.ptr[0] == '[')
        return walk_array(w, name, value);
    if (json_text_is_null(value))
        return refuse(w, name, "is null");
    if (value.ptr[0] == '"' && json_value_text(value, w->a, &text) != 0)
        return refuse(w, name, "is no text");
    return add_text(w, name, text);
}

/* --- the files --- */

static bool is_plain(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] < ' ' || s.ptr[i] > '~')
            return false;
    return true;
}

static int check_file(const struct attachment *file, struct err *e)
{
    struct str type = file->content_type;

    if (file->filename.len == 0 || file->filename.len > NAME_MAX_BYTES)
        return err_input(e, ATTACHMENT, "%.*s: a filename must have 1 to %d bytes",
                         STR_ARG(shown(file->filename)), NAME_MAX_BYTES);
    if (type.ptr == NULL)
        return 0;
    if (type.len > TYPE_MAX_BYTES || !is_plain(type) ||
        memchr(type.ptr, '/', type.len) == NULL || type.ptr[0] == '/')
        return err_input(e, ATTACHMENT,
                         "%.*s: content_type must be a media type such as image/png",
                         STR_ARG(shown(file->filename)));
    return 0;
}

/* The shape of the file field: an array, or one file. */
static bool takes_many(const struct op *op)
{
    const struct shape *fields = op->record->fields;
    size_t n = op->record->n_fields, i = 0;
    struct str rest = str_of(op->file_field);

    while (rest.ptr != NULL && i < n) {
        struct str name = str_split(&rest, '[');

        name.len -= name.len > 0 && name.ptr[name.len - 1] == ']';
        for (i = 0; i < n && !str_is(name, fields[i].name); i++)
            continue;
        if (i < n && rest.ptr == NULL)
            return fields[i].array;
        if (i < n) {
            n = fields[i].n_fields;
            fields = fields[i].fields;
            i = 0;
        }
    }
    abort(); /* the table names a field that it does not have */
}

static void add_files(struct walk *w, const struct command *cmd, const struct op *op)
{
    for (size_t i = 0; i < cmd->n_attachments; i++) {
        const char *name = op->file_field;

        if (takes_many(op))
            name = arena_printf(w->a, "%s[%zu]", name, i);
        add_part(w,
                 (struct form_part){.name = str_of(name), .file = &cmd->attachments[i]});
    }
}

/* --- the bytes --- */

static struct str data_of(const struct form_part *part)
{
    return part->file != NULL ? part->file->data : part->text;
}

static void digest(EVP_MD_CTX *ctx, struct str s)
{
    if ((s.len > 0 && EVP_DigestUpdate(ctx, s.ptr, s.len) != 1) ||
        EVP_DigestUpdate(ctx, "", 1) != 1)
        abort();
}

static void print_boundary(const struct form *form, char out[33])
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    unsigned char md[EVP_MAX_MD_SIZE];

    if (ctx == NULL || EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) != 1)
        abort();
    for (size_t i = 0; i < form->n_parts; i++) {
        digest(ctx, form->parts[i].name);
        digest(ctx, data_of(&form->parts[i]));
    }
    if (EVP_DigestFinal_ex(ctx, md, NULL) != 1)
        abort();
    EVP_MD_CTX_free(ctx);
    hex_encode(md, 16, out);
}

/* Head, data, head, data, ..., end. */
static void cut(struct form *form, const char *boundary, struct arena *a)
{
    struct str *pieces = arena_zalloc(a, (2 * form->n_parts + 1) * sizeof *pieces);
    struct buf head;
    size_t n = 0;

    buf_init(&head, 8 * (NAME_MAX_BYTES + TYPE_MAX_BYTES));
    for (size_t i = 0; i <= form->n_parts; i++) {
        bool end = i == form->n_parts;

        buf_reset(&head);
        (void)buf_printf(&head, "%s--%s%s\r\n", i > 0 ? "\r\n" : "", boundary,
                         end ? "--" : "");
        if (!end)
            add_head(&head, &form->parts[i]);
        pieces[n++] = (struct str){arena_strndup(a, head.data, head.len), head.len};
        if (!end)
            pieces[n++] = data_of(&form->parts[i]);
    }
    buf_fini(&head);
    for (size_t i = 0; i < n; i++)
        form->len += pieces[i].len;
    form->pieces = pieces;
    form->n_pieces = n;
}

static void add_head(struct buf *out, const struct form_part *part)
{
    (void)buf_add_cstr(out, "Content-Disposition: form-data; name=\"");
    escape(out, part->name);
    (void)buf_add_char(out, '"');
    if (part->file != NULL) {
        struct str type = part->file->content_type;

        (void)buf_add_cstr(out, "; filename=\"");
        escape(out, part->file->filename);
        (void)buf_add_cstr(out, "\"\r\nContent-Type: ");
        (void)buf_add_str(out, type.ptr != NULL ? type : STR_LIT(FORM_PRESET_TYPE));
    }
    (void)buf_add_cstr(out, "\r\n\r\n");
}

/* As browsers do; control characters too, so that nothing ends the line. */
static void escape(struct buf *out, struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];

        if (c < ' ' || c == 0x7f || c == '"')
            (void)buf_printf(out, "%%%02X", c);
        else
            (void)buf_add_char(out, (char)c);
    }
}
