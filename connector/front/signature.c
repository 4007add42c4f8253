/* See signature.h. Owns nothing. Invariant: every key is tried, and each comparison reads
 * all bytes, whatever the signature is. */
#include "front/signature.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdlib.h>
#include <string.h>

enum { BASE64_MAX = EVP_MAX_MD_SIZE * 2 };

struct message {
    const char *digest;
    struct str parts[3];
};

/* The MAC as base64; returns its length. What OpenSSL refuses here is a broken OpenSSL.
 */
static size_t sign(const struct message *msg, struct str key, char out[BASE64_MAX])
{
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST,
                                                            mem_unconst(msg->digest), 0),
                           OSSL_PARAM_construct_end()};
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(mac);
    unsigned char bytes[EVP_MAX_MD_SIZE];
    size_t len = 0;

    if (ctx == NULL ||
        EVP_MAC_init(ctx, (const unsigned char *)key.ptr, key.len, params) != 1)
        abort();
    for (size_t i = 0; i < 3; i++)
        if (msg->parts[i].len > 0 &&
            EVP_MAC_update(ctx, (const unsigned char *)msg->parts[i].ptr,
                           msg->parts[i].len) != 1)
            abort();
    if (EVP_MAC_final(ctx, bytes, &len, sizeof bytes) != 1)
        abort();
    EVP_MAC_CTX_free(ctx);
    EVP_MAC_free(mac);
    return (size_t)EVP_EncodeBlock((unsigned char *)out, bytes, (int)len);
}

/* Compared as base64: of its last character some bits mean nothing, so that decoding
 * would let several texts pass for one signature. */
bool signature_is_good(const struct webhook_keys *keys, struct str signature,
                       struct str timestamp, struct str body)
{
    const struct message with_time = {"SHA256", {timestamp, STR_LIT(":"), body}};
    const struct message body_only = {"SHA1", {body, STR_LIT(""), STR_LIT("")}};
    const struct message *msg = timestamp.ptr != NULL ? &with_time : &body_only;
    char ours[BASE64_MAX];
    bool good = false;

    for (size_t i = 0; i < keys->n; i++) {
        size_t len = keys->keys[i].len > 0 ? sign(msg, keys->keys[i], ours) : 0;

        if (len > 0 && len == signature.len &&
            CRYPTO_memcmp(ours, signature.ptr, len) == 0)
            good = true;
    }
    OPENSSL_cleanse(ours, sizeof ours);
    return good;
}
