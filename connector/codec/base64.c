/* Base64 by OpenSSL, which pads and decodes but does not look closely: the checks are
 * here. Owns nothing. Invariant: OpenSSL only decodes whole, well-padded groups. */
#include "codec/base64.h"

#include <limits.h>
#include <openssl/evp.h>

static bool in_alphabet(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
           c == '+' || c == '/';
}

int base64_encode(struct str bytes, struct buf *out)
{
    size_t n = (bytes.len + 2) / 3 * 4;

    if (bytes.len == 0)
        return 0;
    if (bytes.len > INT_MAX || buf_reserve(out, n + 1) != 0)
        return -1;
    (void)EVP_EncodeBlock((unsigned char *)out->data + out->len,
                          (const unsigned char *)bytes.ptr, (int)bytes.len);
    out->len += n;
    out->data[out->len] = '\0';
    return 0;
}

int base64_decode(struct str text, struct arena *a, struct str *out)
{
    size_t pad = 0, i;
    char *bytes;
    int n;

    if (text.len % 4 != 0 || text.len > INT_MAX)
        return -1;
    while (pad < 2 && text.len > pad && text.ptr[text.len - 1 - pad] == '=')
        pad++;
    for (i = 0; i + pad < text.len; i++)
        if (!in_alphabet(text.ptr[i]))
            return -1;
    bytes = arena_alloc(a, text.len / 4 * 3 + 1);
    n = text.len == 0 ? 0
                      : EVP_DecodeBlock((unsigned char *)bytes,
                                        (const unsigned char *)text.ptr, (int)text.len);
    if (n < (int)pad)
        return -1;
    *out = (struct str){bytes, (size_t)n - pad};
    return 0;
}
