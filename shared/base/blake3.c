#include "blake3.h"

#include <string.h>

#include "must.h"

/* The BLAKE3 specification, sections 2.1 to 2.4: one chunk of one block, so that the chunk is also
 * the root. */

enum { CHUNK_START = 1 << 0, CHUNK_END = 1 << 1, ROOT = 1 << 3, KEYED_HASH = 1 << 4 };

static const uint32_t iv[4] = {0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A};

static const uint8_t message_order[7][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
    {2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8},
    {3, 4, 10, 12, 13, 2, 7, 14, 6, 5, 9, 0, 11, 15, 8, 1},
    {10, 7, 12, 9, 14, 3, 13, 15, 4, 0, 11, 2, 5, 8, 1, 6},
    {12, 13, 9, 11, 15, 10, 14, 8, 7, 2, 5, 3, 0, 1, 6, 4},
    {9, 14, 11, 5, 8, 12, 15, 1, 13, 3, 0, 10, 2, 6, 4, 7},
    {11, 15, 5, 0, 1, 9, 8, 6, 14, 10, 2, 12, 3, 4, 7, 13},
};

static uint32_t load32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void store32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}

static uint32_t rotate_right(uint32_t v, int n)
{
    return v >> n | v << (32 - n);
}

/* Both are inlined with constant indices, which halves what a hash costs. */
static inline __attribute__((always_inline)) void mix(uint32_t v[16], int a, int b, int c, int d,
                                                      uint32_t x, uint32_t y)
{
    v[a] = v[a] + v[b] + x;
    v[d] = rotate_right(v[d] ^ v[a], 16);
    v[c] = v[c] + v[d];
    v[b] = rotate_right(v[b] ^ v[c], 12);
    v[a] = v[a] + v[b] + y;
    v[d] = rotate_right(v[d] ^ v[a], 8);
    v[c] = v[c] + v[d];
    v[b] = rotate_right(v[b] ^ v[c], 7);
}

static inline __attribute__((always_inline)) void mix_round(uint32_t v[16], const uint32_t m[16],
                                                            int round)
{
    const uint8_t *order = message_order[round];

    mix(v, 0, 4, 8, 12, m[order[0]], m[order[1]]);
    mix(v, 1, 5, 9, 13, m[order[2]], m[order[3]]);
    mix(v, 2, 6, 10, 14, m[order[4]], m[order[5]]);
    mix(v, 3, 7, 11, 15, m[order[6]], m[order[7]]);
    mix(v, 0, 5, 10, 15, m[order[8]], m[order[9]]);
    mix(v, 1, 6, 11, 12, m[order[10]], m[order[11]]);
    mix(v, 2, 7, 8, 13, m[order[12]], m[order[13]]);
    mix(v, 3, 4, 9, 14, m[order[14]], m[order[15]]);
}

void blake3_keyed(uint8_t out[BLAKE3_OUT_SIZE], const uint8_t key[BLAKE3_KEY_SIZE],
                  const void *message, size_t len)
{
    uint8_t block[BLAKE3_MAX_LEN] = {0};
    uint32_t m[16], v[16];

    MUST(len <= sizeof block);
    memcpy(block, message, len);
    for (int i = 0; i < 16; i++)
        m[i] = load32(block + 4 * i);
    for (int i = 0; i < 8; i++)
        v[i] = load32(key + 4 * i);
    memcpy(v + 8, iv, sizeof iv);
    v[12] = 0; /* the chunk's number, low and high */
    v[13] = 0;
    v[14] = (uint32_t)len;
    v[15] = CHUNK_START | CHUNK_END | ROOT | KEYED_HASH;

    mix_round(v, m, 0);
    mix_round(v, m, 1);
    mix_round(v, m, 2);
    mix_round(v, m, 3);
    mix_round(v, m, 4);
    mix_round(v, m, 5);
    mix_round(v, m, 6);
    for (int i = 0; i < 8; i++)
        store32(out + 4 * i, v[i] ^ v[i + 8]);

    explicit_bzero(block, sizeof block);
    explicit_bzero(m, sizeof m);
    explicit_bzero(v, sizeof v);
}
