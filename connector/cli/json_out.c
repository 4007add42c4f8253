#include "cli/json_out.h"

#include <openssl/evp.h>

#include "codec/json.h"

static void add_base64(struct buf *out, struct str bytes)
{
    size_t len = 4 * ((bytes.len + 2) / 3);

    if (bytes.len > INT32_MAX || buf_reserve(out, len + 1) != 0) {
        out->over = true;
        return;
    }
    EVP_EncodeBlock((unsigned char *)out->data + out->len,
                    (const unsigned char *)bytes.ptr, (int)bytes.len);
    out->len += len;
}

void json_out_bytes(struct buf *out, struct str bytes)
{
    if (!bytes.ptr) {
        buf_add_cstr(out, "null");
    } else if (utf8_valid(bytes)) {
        json_quote(out, bytes);
    } else {
        buf_add_cstr(out, "{\"base64\":\"");
        add_base64(out, bytes);
        buf_add_cstr(out, "\"}");
    }
}

static int add_piece(const char *piece, size_t len, void *arg)
{
    return buf_add(arg, piece, len);
}

void json_out_value(struct buf *out, const json_t *value)
{
    if (json_dump_callback(value, add_piece, out, JSON_COMPACT | JSON_ENCODE_ANY) != 0)
        out->over = true;
}
