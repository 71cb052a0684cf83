/* mostro-push-listener: follows the relays, queues wakes, and pushes. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/wiping_json.h"
#include "device/vapid_key.h"
#include "listener.h"
#include "log/log.h"
#include "nostr/relay_auth.h"
#include "overview.h"
#include "push/http_client.h"
#include "settings/settings.h"
#include "settings/startup.h"

#define GENERATE "--generate-vapid-key"

#define NOT_STARTED 3 /* exit status: memory, threads or descriptors were lacking */

static const char about[] =
    "Follows Nostr relays for events that name a registered trade pubkey, and wakes the phones\n"
    "behind them through FCM and UnifiedPush.\n\n"
    "  mostro-push-listener " GENERATE " FILE\n"
    "makes a new key for VAPID_PRIVATE_KEY_FILE, and prints the public key that goes with it.";

/* Every thread inherits the mask, so that the main thread alone takes signals. */
static void block_stop_signals(sigset_t *stop)
{
    (void)sigemptyset(stop);
    (void)sigaddset(stop, SIGTERM);
    (void)sigaddset(stop, SIGINT);
    (void)pthread_sigmask(SIG_BLOCK, stop, NULL);
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

static int run(const struct settings *settings)
{
    const struct timespec beat = {.tv_sec = LISTENER_BEAT_MS / 1000,
                                  .tv_nsec = LISTENER_BEAT_MS % 1000 * 1000000L};
    struct listener *listener;
    sigset_t stop;
    int status = EXIT_SUCCESS;

    block_stop_signals(&stop);
    listener = listener_start(settings);
    if (listener == NULL)
        return NOT_STARTED;
    do {
        if (!listener_beat(listener)) {
            status = EXIT_FAILURE;
            break;
        }
    } while (sigtimedwait(&stop, NULL, &beat) < 0);
    log_info("listener: stopping");
    if (!listener_stop(&listener))
        _exit(status);
    return status;
}

static int generate_vapid_key(const char *path)
{
    char public_half[VAPID_KEY_PUBLIC_SIZE];
    const char *problem;

    startup_keep_memory_private();
    problem = vapid_key_generate(path, public_half);
    if (problem != NULL) {
        (void)fprintf(stderr, "%s: %s\n", path, problem);
        return EXIT_FAILURE;
    }
    return puts(public_half) >= 0 && fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    struct settings *settings = NULL;
    enum startup_mode mode;
    int status = EXIT_SUCCESS;

    if (argc == 3 && strcmp(argv[1], GENERATE) == 0)
        return generate_vapid_key(argv[2]);
    mode = startup_begin(argc, argv, "mostro-push-listener", about, SETTINGS_LISTENER, &settings);
    if (mode == STARTUP_DONE)
        return EXIT_SUCCESS;
    if (mode == STARTUP_FAILED)
        return 2;
    if (!auth_key_is_good(&settings->nostr_auth_private_key) ||
        !ca_file_is_good(settings->tls_ca_file)) {
        status = 2;
    } else {
        wiping_json_init();
        overview(settings, mode == STARTUP_CHECK);
        if (mode == STARTUP_RUN)
            status = run(settings);
    }
    settings_free(&settings);
    return status;
}
