/* registered_domain: the part of a DNS name that somebody has registered, and below which all names
 * are his: example.org of a.b.example.org, example.co.uk of a.example.co.uk.
 *
 * Only the Public Suffix List knows below which names anybody may register one, in ten thousand
 * lines that change every week. This has a rule instead: three labels below a country (two letters)
 * and a label that many countries keep for this, as com.br; else two. All names below a suffix that
 * it misses count as one owner's: me.uk, id.au, kobe.jp. Below those that cost nothing, as
 * duckdns.org, they should: nobody there is kept from having thousands. Short labels are not taken
 * for suffixes in general, for who buys one in some country would count as any number of owners;
 * so does the owner of co.de.
 *
 * Therefore it decides about shares, of slots and of room, and never about what is allowed. Pure,
 * thread-safe. */
#ifndef MOSTRO_REGISTERED_DOMAIN_H
#define MOSTRO_REGISTERED_DOMAIN_H

/* Where it begins in `name`, in lower case and without a dot at its end; the whole of it where it
 * has no more labels. */
const char *registered_domain(const char *name);

#endif
