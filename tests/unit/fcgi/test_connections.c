#include "connections.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "exchange.h"
#include "fastcgi.h"
#include "responder.h"
#include "told_clock.h"
#include "unit.h"
#include "watch.h"

#define MOST    300
#define PART    (96 * 1024) /* of a body that is not whole */
#define MIB     (1024 * 1024)
#define MOST_OF 16 /* MiB, of all that is being read */

/* ---- The responder's place: what is under way stays so until the test has it answered ----------
 */

static struct exchange *under_way[MOST];
static size_t begun;

void responder_answer(struct responder *responder, struct exchange *exchange)
{
    (void)responder;
    under_way[begun++] = exchange;
}

/* Nothing waits for Redis. */
void responder_give_up(struct exchange *exchange)
{
    (void)exchange;
}

static void answer_all(void)
{
    for (size_t i = 0; i < begun; i++)
        under_way[i]->answered(under_way[i]);
    begun = 0;
}

/* ---- The web server's place --------------------------------------------------------------------
 */

static int epoll;
static struct connections *connections;
static int web[MOST]; /* its ends */
static size_t opened;

static void setup(void)
{
    now = 1000000;
    begun = opened = 0;
    (void)fastcgi_begin(); /* there is no listening socket, nor need for one */
    epoll = epoll_create1(EPOLL_CLOEXEC);
    ck_assert_int_ge(epoll, 0);
    connections = connections_new(epoll, NULL);
    ck_assert_ptr_nonnull(connections);
}

static void teardown(void)
{
    answer_all();
    connections_free(&connections);
    for (size_t i = 0; i < opened; i++)
        (void)close(web[i]);
    (void)close(epoll);
}

static size_t opens_one(void)
{
    int ends[2];

    ck_assert_uint_lt(opened, MOST);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    web[opened] = ends[0];
    connections_take(connections, ends[1]);
    return opened++;
}

/* What a worker does with all that has come. */
static void serves(void)
{
    struct epoll_event events[64];
    int count;

    while ((count = epoll_wait(epoll, events, 64, 0)) > 0)
        for (int i = 0; i < count; i++) {
            struct watch *watch = events[i].data.ptr;

            watch->ready(watch, events[i].events);
        }
    connections_tidy(connections, now);
}

static void sends(size_t which, const void *bytes, size_t len)
{
    for (size_t sent = 0; sent < len;) {
        ssize_t n = send(web[which], (const char *)bytes + sent, len - sent, MSG_NOSIGNAL);

        if (n < 0)
            serves();
        else
            sent += (size_t)n;
    }
}

static void sends_record(size_t which, int kind, const char *content, size_t len)
{
    const uint8_t head[8] = {1, (uint8_t)kind, 0, 1, (uint8_t)(len >> 8), (uint8_t)len, 0, 0};

    sends(which, head, sizeof head);
    sends(which, content, len);
}

/* A request up to its body. */
static void begins(size_t which)
{
    const char parameter[] = "\016\003CONTENT_LENGTH999";

    sends_record(which, 1, "\0\1\1\0\0\0\0", 8); /* as responder, to be kept */
    sends_record(which, 4, parameter, sizeof parameter - 1);
    sends_record(which, 4, "", 0);
}

static void sends_request(size_t which)
{
    begins(which);
    sends_record(which, 5, "", 0);
}

/* A part of one, of PART bytes or a few more. */
static void sends_part(size_t which)
{
    static char body[PART / 2];

    begins(which);
    sends_record(which, 5, body, sizeof body);
    sends_record(which, 5, body, sizeof body);
}

static bool is_closed(size_t which)
{
    char bytes[4096];
    ssize_t n;

    do
        n = recv(web[which], bytes, sizeof bytes, 0);
    while (n > 0);
    return n == 0;
}

/* ---- What is being read ------------------------------------------------------------------------
 */

START_TEST(the_slowest_makes_room)
{
    const size_t fit = (size_t)MOST_OF * MIB / (PART + 200), more = fit + 3;

    for (size_t i = 0; i < more; i++, now++) {
        (void)opens_one();
        sends_part(i);
        serves();
    }
    for (size_t i = 0; i < more; i++)
        ck_assert_int_eq(is_closed(i), i < more - fit);
}
END_TEST

/* Those who send more before they have their answer, not those who wait their turn. */
START_TEST(what_comes_early_makes_room_first)
{
    const size_t honest = opens_one(), many = 2 * (size_t)MOST_OF * MIB / PART - 100;
    size_t closed = 0;

    sends_part(honest);
    serves();
    for (size_t i = honest + 1; i <= many; i++, now++) {
        (void)opens_one();
        sends_request(i);
        sends_part(i);
        serves();
    }
    ck_assert_uint_eq(begun, many);
    ck_assert(!is_closed(honest));
    answer_all();
    serves();
    for (size_t i = honest + 1; i <= many; i++)
        closed += is_closed(i); /* once they had their answer */
    ck_assert_uint_gt(closed, many - (size_t)MOST_OF * MIB / PART);
    ck_assert_uint_lt(closed, many - (size_t)MOST_OF * MIB / PART + 10);
    ck_assert(!is_closed(honest));
    sends_record(honest, 5, "", 0);
    serves();
    ck_assert_uint_eq(begun, 1);
}
END_TEST

UNIT_MAIN_WITH("connections", setup, teardown, the_slowest_makes_room,
               what_comes_early_makes_room_first)
