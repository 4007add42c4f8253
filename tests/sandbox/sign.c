/* HMAC by OpenSSL; the bytes that are signed are the bytes that are sent. */
#include "sign.h"

#include <string.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/buf.h"

void sign(const char *key, int64_t timestamp_ms, struct str body, char out[SIGNATURE_MAX])
{
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned int len = 0;
    struct buf text;
    buf_init(&text, body.len + 32);
    if (timestamp_ms >= 0)
        (void)buf_printf(&text, "%lld:", (long long)timestamp_ms);
    (void)buf_add(&text, body.ptr, body.len);
    (void)HMAC(timestamp_ms >= 0 ? EVP_sha256() : EVP_sha1(), key, (int)strlen(key),
               (const unsigned char *)text.data, text.len, mac, &len);
    (void)EVP_EncodeBlock((unsigned char *)out, mac, (int)len);
    buf_fini(&text);
}

void sign_spoil(char signature[SIGNATURE_MAX])
{
    signature[3] = signature[3] == 'A' ? 'B' : 'A';
}
