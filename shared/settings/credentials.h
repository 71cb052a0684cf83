/* credentials: secrets that a service manager hands to one program in a folder of its own
 * (systemd's LoadCredential, systemd.exec(5)), named by CREDENTIALS_DIRECTORY. */
#ifndef MOSTRO_CREDENTIALS_H
#define MOSTRO_CREDENTIALS_H

/* Where the file that a setting names is, when it is one of the credentials: a name that does not
 * begin with a slash is looked for among them, with underscores for slashes, as systemd names the
 * files of a folder. NULL when it is none; `directory` may be NULL. The caller frees it. */
char *credentials_find(const char *directory, const char *name);

#endif
