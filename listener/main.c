/* mostro-push-listener: follows the relays, queues wakes, and pushes. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/resolver.h"
#include "base/wiping_json.h"
#include "check/relay_check.h"
#include "check/world.h"
#include "device/vapid_key.h"
#include "listener.h"
#include "log/log.h"
#include "nostr/relay_auth.h"
#include "overview.h"
#include "push/http_client.h"
#include "questions.h"
#include "settings/settings.h"
#include "settings/startup.h"

#define NOT_STARTED 3 /* exit status: memory, threads or descriptors were lacking */

/* Every thread inherits the mask, so that the main thread alone takes signals. */
static void block_signals(sigset_t *taken)
{
    (void)sigemptyset(taken);
    (void)sigaddset(taken, SIGTERM);
    (void)sigaddset(taken, SIGINT);
    (void)sigaddset(taken, SIGHUP);
    (void)pthread_sigmask(SIG_BLOCK, taken, NULL);
}

/* Waits for the next beat. True: a signal has come that ends this process. */
static bool is_to_stop(const sigset_t *taken)
{
    const struct timespec beat = {.tv_sec = LISTENER_BEAT_MS / 1000,
                                  .tv_nsec = LISTENER_BEAT_MS % 1000 * 1000000L};
    int number = sigtimedwait(taken, NULL, &beat);

    if (number == SIGHUP)
        log_warn("listener: SIGHUP changes nothing: restart this to apply new settings");
    return number >= 0 && number != SIGHUP;
}

static bool auth_key_is_good(const struct settings_key *key)
{
    if (!key->set || relay_auth_is_key(key->bytes))
        return true;
    (void)fputs("NOSTR_AUTH_PRIVATE_KEY, or its file: not a private key of secp256k1\n", stderr);
    return false;
}

static bool ca_file_is_good(const char *path)
{
    if (path == NULL || http_client_can_trust(path))
        return true;
    (void)fprintf(stderr, "TLS_CA_FILE='%s': no certificate can be read from it\n", path);
    return false;
}

/* Says on stderr what is wrong. */
static bool are_good(const struct settings *settings)
{
    return auth_key_is_good(&settings->nostr_auth_private_key) &&
           ca_file_is_good(settings->tls_ca_file);
}

/* Whether it can be used: says on stderr why not, and what the settings make of it. */
static bool make_ready(const struct settings *settings, bool is_asked)
{
    if (!are_good(settings))
        return false;
    wiping_json_init();
    overview(settings, is_asked);
    return true;
}

static int run(const struct settings *settings)
{
    struct listener *listener;
    sigset_t taken;
    int status = EXIT_SUCCESS;

    if (!make_ready(settings, false))
        return STARTUP_UNUSABLE;
    block_signals(&taken);
    listener = listener_start(settings);
    if (listener == NULL)
        return NOT_STARTED;
    do {
        if (!listener_beat(listener)) {
            status = EXIT_FAILURE;
            break;
        }
    } while (!is_to_stop(&taken));
    log_info("listener: stopping");
    if (!listener_stop(&listener))
        _exit(status);
    return status;
}

static int check(const struct settings *settings)
{
    return make_ready(settings, true) ? EXIT_SUCCESS : STARTUP_UNUSABLE;
}

static int check_relay(const struct settings *settings, const struct command_line *line)
{
    if (!are_good(settings))
        return STARTUP_UNUSABLE;
    wiping_json_init();
    return relay_check(settings, line->arguments[0], line->has_with);
}

static int generate_vapid_key(const struct settings *none, const struct command_line *line)
{
    char public_half[VAPID_KEY_PUBLIC_SIZE];
    const char *problem;

    (void)none;
    startup_keep_memory_private();
    problem = vapid_key_generate(line->arguments[0], public_half);
    if (problem != NULL) {
        (void)fprintf(stderr, "%s: %s\n", line->arguments[0], problem);
        return EXIT_FAILURE;
    }
    return puts(public_half) >= 0 && fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    static const struct command_line_option options[] = {
        {.name = "--check-relay",
         .arguments = "URL",
         .with = "--publish",
         .about = "Look at a relay as it would be followed. With --publish, publish two events\n"
                  "there, between keys made for this, and tell whether they come back.",
         .run = check_relay},
        {.name = "--generate-vapid-key",
         .arguments = "FILE",
         .about = "Make a key for VAPID_PRIVATE_KEY_FILE, and print its public half.",
         .is_before_settings = true,
         .run = generate_vapid_key},
        {.name = "--why",
         .arguments = "TRADE_PUBKEY|-",
         .about = "Tell what Redis knows of a trade pubkey whose phone is not woken; `-` reads it\n"
                  "from standard input, so that no list of processes shows it.",
         .run = questions_why},
        {.name = "--trace",
         .arguments = "TRADE_PUBKEY|- MINUTES",
         .about = "Have the listeners log each step of its wakes, by a hash that this prints, for\n"
                  "up to 1440 minutes; 0 ends that.",
         .run = questions_trace},
        {.name = NULL},
    };
    static const struct startup_program program = {
        .name = "mostro-push-listener",
        .about = "Follows Nostr relays for events that name a registered trade pubkey, and wakes "
                 "the phones\nbehind them through FCM and UnifiedPush.",
        .who = SETTINGS_LISTENER,
        .options = options,
        .run = run,
        .check = check,
        .look = world_look,
    };

    resolver_bound_time();
    return startup_main(&program, argc, argv);
}
