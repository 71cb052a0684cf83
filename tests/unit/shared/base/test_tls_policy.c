#include "base/tls_policy.h"

#include "own_certificate.h"

/* ---- Two sides in one process ---------------------------------------------------------------- */

struct pair {
    SSL *server, *client;
};

/* What a server insists on. */
struct offer {
    int version;
    const char *ciphers; /* NULL: all; of TLS 1.2 */
    const char *groups;  /* NULL: all */
};

static SSL_CTX *server_of(const struct offer *offer)
{
    FILE *file = tmpfile();
    SSL_CTX *tls = tls_of_its_own("IP:127.0.0.1", file);

    (void)fclose(file);
    ck_assert_int_eq(SSL_CTX_set_min_proto_version(tls, offer->version), 1);
    ck_assert_int_eq(SSL_CTX_set_max_proto_version(tls, offer->version), 1);
    ck_assert_int_eq(SSL_CTX_set_dh_auto(tls, 1), 1);
    if (offer->ciphers != NULL)
        ck_assert_int_eq(SSL_CTX_set_cipher_list(tls, offer->ciphers), 1);
    if (offer->groups != NULL)
        ck_assert_int_eq(SSL_CTX_set1_groups_list(tls, offer->groups), 1);
    return tls;
}

static struct pair make_pair(const struct offer *offer, bool with_policy)
{
    SSL_CTX *server = server_of(offer), *client = SSL_CTX_new(TLS_client_method());
    BIO *one, *other;
    struct pair pair;

    if (with_policy)
        ck_assert(tls_policy_apply(client));
    pair = (struct pair){.server = SSL_new(server), .client = SSL_new(client)};
    ck_assert_int_eq(BIO_new_bio_pair(&one, 0, &other, 0), 1);
    SSL_set_bio(pair.server, one, one);
    SSL_set_bio(pair.client, other, other);
    SSL_set_accept_state(pair.server);
    SSL_set_connect_state(pair.client);
    SSL_CTX_free(server);
    SSL_CTX_free(client);
    return pair;
}

static void free_pair(struct pair *pair)
{
    SSL_free(pair->server);
    SSL_free(pair->client);
}

/* Whether both sides' handshakes come to an end. */
static bool shake_hands(struct pair *pair)
{
    for (unsigned round = 0; round < 20; round++) {
        int client = SSL_do_handshake(pair->client), server = SSL_do_handshake(pair->server);

        if (client == 1 && server == 1)
            return true;
    }
    return false;
}

static bool is_agreed(const struct offer *offer, bool with_policy)
{
    struct pair pair = make_pair(offer, with_policy);
    bool agreed = shake_hands(&pair);

    free_pair(&pair);
    return agreed;
}

/* ---- What is agreed to ----------------------------------------------------------------------- */

/* Clients of OpenSSL 3.5 would not agree to a larger group of the last kind by themselves. */
static const struct offer costly[] = {
    {TLS1_2_VERSION, "DHE-RSA-AES128-GCM-SHA256", NULL},
    {TLS1_2_VERSION, "DHE-RSA-CHACHA20-POLY1305", NULL},
    {TLS1_3_VERSION, NULL, "ffdhe2048"},
    {TLS1_3_VERSION, NULL, "ffdhe3072"},
};

START_TEST(finite_fields_are_refused)
{
    ck_assert(is_agreed(&costly[_i], false));
    ck_assert(!is_agreed(&costly[_i], true));
}
END_TEST

static const struct offer usual[] = {
    {TLS1_2_VERSION, NULL, NULL},
    {TLS1_2_VERSION, "ECDHE-RSA-AES128-GCM-SHA256", "P-256"},
    {TLS1_2_VERSION, "AES128-GCM-SHA256", NULL},
    {TLS1_3_VERSION, NULL, NULL},
    {TLS1_3_VERSION, NULL, "X25519"},
    {TLS1_3_VERSION, NULL, "P-384"},
    {TLS1_3_VERSION, NULL, "P-521"},
};

START_TEST(curves_are_agreed_to)
{
    ck_assert(is_agreed(&usual[_i], true));
}
END_TEST

/* What the client says when the server wants a second handshake. */
static bool shakes_hands_again(bool with_policy)
{
    const struct offer offer = {TLS1_2_VERSION, NULL, NULL};
    struct pair pair = make_pair(&offer, with_policy);
    char byte;
    bool again;

    ck_assert(shake_hands(&pair));
    ck_assert_int_eq(SSL_renegotiate(pair.server), 1);
    for (unsigned round = 0; round < 20; round++) {
        (void)SSL_do_handshake(pair.server);
        (void)SSL_read(pair.client, &byte, 1);
        (void)SSL_read(pair.server, &byte, 1);
    }
    again = SSL_num_renegotiations(pair.client) > 0;
    free_pair(&pair);
    return again;
}

START_TEST(no_second_handshake_is_made)
{
    ck_assert(shakes_hands_again(false));
    ck_assert(!shakes_hands_again(true));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tls_policy");
    TCase *tcase = tcase_create("tls_policy");

    tcase_set_timeout(tcase, 30); /* the costly ones are */
    tcase_add_loop_test(tcase, finite_fields_are_refused, 0, sizeof costly / sizeof costly[0]);
    tcase_add_loop_test(tcase, curves_are_agreed_to, 0, sizeof usual / sizeof usual[0]);
    tcase_add_test(tcase, no_second_handshake_is_made);
    suite_add_tcase(suite, tcase);
    return unit_run(suite);
}
