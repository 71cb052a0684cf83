// make-events: the events that the unit tests compare with, made and signed by nostr-tools.
//
//     node make-events.cjs events >../unit/events.jsonl
//     node make-events.cjs auth   >../unit/auth_events.jsonl
//
// One case a line. Every run makes the same events but for their signatures and for the gift wraps,
// whose keys and times are drawn.
const { createHash } = require('crypto')
const { makeAuthEvent } = require('nostr-tools/nip42')
const nip17 = require('nostr-tools/nip17')
const nip59 = require('nostr-tools/nip59')
const { finalizeEvent, getPublicKey } = require('nostr-tools/pure')

const NOW = 1785600000
const DAY = 24 * 3600
const keyOf = (name) => new Uint8Array(createHash('sha256').update(name).digest())
const author = keyOf('author')
const tradeKey = keyOf('trade')
const trade = getPublicKey(tradeKey)
const other = getPublicKey(keyOf('other'))

const print = (value) => console.log(JSON.stringify(value))

// ---- Text

// Evenly spread, the same in every run (mulberry32).
let state = 1
function random(n) {
  state = (state + 0x6d2b79f5) | 0
  let t = Math.imul(state ^ (state >>> 15), 1 | state)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) % n
}

const between = (first, last) =>
  Array.from({ length: last - first + 1 }, (_, i) => String.fromCodePoint(first + i))
const CONTROLS = between(0, 0x1f)
const ESCAPED = [...CONTROLS, '"', '\\', '/', '\x7f', '\u2028', '\u2029', '\ufeff']
const LETTERS = [
  ...between(0x20, 0x7e), ...between(0xa0, 0x17f), ...between(0x430, 0x44f),
  ...between(0x5d0, 0x5ea), ...between(0x4e00, 0x4e40), ...between(0x1f600, 0x1f64f),
  '\u{10ffff}', '\ud7ff', '\ue000', '\uffff', 'e\u0301', '\u200d', '👩‍👩‍👧‍👦',
]

const drawn = (length, draw) => Array.from({ length }, draw)

function randomText(most) {
  const escapes = random(4) // in how many of eight
  return drawn(random(most + 1), () => {
    const alphabet = random(8) < escapes ? ESCAPED : LETTERS
    return alphabet[random(alphabet.length)]
  }).join('')
}

const randomTag = () => ['qedt'[random(4)] + randomText(3), ...drawn(random(5), () => randomText(20))]
const randomTags = () => drawn(random(12), randomTag)

// ---- Events

let count = 0
// Addressed by a tag of its own, unless it is said what the given ones make of it.
function one(name, { kind = 14, created_at = NOW, tags = [], content = '' }, addressed) {
  if (addressed === undefined) tags = [['p', trade], ...tags]
  const event = finalizeEvent({ kind, created_at, tags, content }, author)
  print({ name, trade_pubkey: addressed === undefined ? trade : addressed, event })
  count++
}

// Some characters as their escapes on the wire: the id is of the text that they stand for.
function escapedOnTheWire(name, content, escape) {
  const event = finalizeEvent({ kind: 14, created_at: NOW, tags: [['p', trade]], content }, author)
  console.log(JSON.stringify({ name, trade_pubkey: trade, event }).replace(escape.from, escape.to))
  count++
}

function texts() {
  one('empty content', {})
  one('plain', { content: 'hello' })
  one('unicode', { content: 'Grüße, 世界, мир, שלום, ∑ \u00a0\u2028\u2029\ufeff\u200d' })
  one('emoji', { content: '👩‍👩‍👧‍👦 🏴󠁧󠁢󠁥󠁮󠁧󠁿 🦤 😀\u{10ffff}' })
  one('the seven escapes', { content: '\n\r\t\b\f"\\' })
  one('escapes mixed with text', { content: 'a\nb\\nc"d"\\\\e/f\\u0041\\' })
  one('all control characters', { content: CONTROLS.join('') })
  one('control characters in tags', { tags: [['alt', CONTROLS.join(''), '\x7f']] })
  one('a NUL in content', { content: 'before\0after' })
  one('DEL and C1', { content: between(0x7f, 0x9f).join('') })
  for (const c of between(0, 0x7f))
    one(`character ${c.codePointAt(0)}`, { tags: [['t', c], [c, `x${c}`, `${c}x`]], content: c + c })
  // Every code point of the first plane, and the ends of the others.
  for (let first = 0; first < 0x10000; first += 0x1000)
    if (first !== 0xd000)
      one(`code points from ${first}`, { content: between(first, first + 0xfff).join('') })
  one('code points before the surrogates', { content: between(0xd000, 0xd7ff).join('') })
  const planes = Array.from({ length: 16 }, (_, i) => (i + 1) * 0x10000)
  one('ends of the planes', {
    content: planes.map((n) => String.fromCodePoint(n, n + 0xfffe, n + 0xffff)).join(''),
  })
  escapedOnTheWire('emoji, escaped on the wire', '👩‍👩‍👧‍👦 🏴󠁧󠁢󠁥󠁮󠁧󠁿 🦤 😀\u{10ffff}', {
    from: /[^\0-\x7f]/g, to: (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
  })
  escapedOnTheWire('slashes escaped on the wire', 'a\nb\\nc"d"\\\\e/f', { from: /\//g, to: '\\/' })
  escapedOnTheWire('control characters in upper case on the wire', '\x1a\x0b\x1f\x7f', {
    from: /\\u00(..)/g, to: (all) => `\\u00${all.slice(4).toUpperCase()}`,
  })
}

function sizes() {
  // What gathers text in a buffer of a power of two has its edges there.
  for (const size of [255, 256, 511, 512, 1023, 1024, 1025, 2047, 2048])
    for (const last of ['x', '"', '\x01'])
      one(`${size} bytes and ${JSON.stringify(last)}`, { content: 'x'.repeat(size - 1) + last })
  one('large content', { content: 'äöü€𝄞 large "quoted" line\n'.repeat(700) })
  one('64 KB', { content: 'x'.repeat(64 * 1024) })
  one('16 KB of quotes', { content: '"'.repeat(16 * 1024) })
  one('8 KB of control characters', { content: '\x01'.repeat(8 * 1024) })
}

function tags() {
  one('many tags', { tags: Array.from({ length: 200 }, (_, i) => ['t', `tag ${i}`, `${i * i}`]) })
  one('2000 tags', { tags: Array.from({ length: 1999 }, () => ['t', '']) })
  one('long tag', { tags: [['d', ...Array.from({ length: 300 }, (_, i) => `item ${i}`)]] })
  one('a tag of 16 KB', { tags: [['d', 'ü"'.repeat(8 * 1024)]] })
  one('empty strings in tags', { tags: [['p', trade, '', ''], [''], ['d', '']] }, trade)
  one('two p tags', { tags: [['e', '00'], ['p', other], ['p', trade]] }, other)
  one('p tag in upper case', { tags: [['p', trade.toUpperCase()]] }, trade)
  one('no tags', {}, null)
  one('no p tag', { tags: [['e', trade], ['P', trade]] }, null)
  one('first p tag unusable', { tags: [['p', 'nonsense'], ['p', trade]] }, null)
  one('first p tag without value', { tags: [['p'], ['p', trade]] }, trade)
  one('first p tag of an empty value', { tags: [['p', ''], ['p', trade]] }, trade)
  one('p tag too short', { tags: [['p', trade.slice(1)]] }, null)
  one('p tag too long', { tags: [['p', trade + '0']] }, null)
  one('empty tags', { tags: [[], ['p', trade], [], []] }, trade)
  one('an empty tag alone', { tags: [[]] }, null)
  one('expired', { tags: [['expiration', `${NOW - 1}`]] })
  one('expiring', { tags: [['expiration', `${NOW + DAY}`]] })
}

function numbers() {
  one('created_at 0, kind 0', { kind: 0, created_at: 0 })
  one('created_at at the limit, kind at the limit', { kind: 65535, created_at: 2 ** 53 - 1 })
  one('created_at two days ago', { kind: 1059, created_at: NOW - 2 * DAY })
  for (const created_at of [9, 10, 99, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 1e15])
    one(`created_at ${created_at}`, { kind: 1059, created_at })
  for (const kind of [1, 9, 10, 255, 256, 9999, 10000, 32767, 32768])
    one(`kind ${kind}`, { kind })
}

function wraps() {
  const rumor = { kind: 14, created_at: NOW, tags: [['subject', 'an order']] }
  const wrapped = (name, event) => {
    print({ name, trade_pubkey: trade, event })
    count++
  }
  for (const [i, size] of [32, 0, 1, 1000, 10000].entries())
    wrapped(`gift wrap ${i}`, nip59.wrapEvent({ ...rumor, content: 'm'.repeat(size) }, author, trade))
  for (const [i, text] of ['hello', 'Grüße 😀\n"quoted"'].entries()) {
    const event = nip17.wrapEvent(author, { publicKey: trade }, text, 'an order')
    wrapped(`private direct message ${i}`, event)
  }
}

function events() {
  wraps()
  texts()
  sizes()
  tags()
  numbers()
  for (let i = 0; i < 150; i++)
    one(`drawn ${i}`, {
      kind: random(65536), created_at: random(2 ** 31), tags: randomTags(), content: randomText(300),
    })
  console.error(`${count} events`)
}

// ---- Answers to challenges

function auth() {
  const key = keyOf('auth')
  const cases = {
    plain: ['wss://relay.example', '0123456789abcdef'],
    'path and query': ['ws://127.0.0.1:7777/path?key=a%20b', 'challenge'],
    'one character': ['wss://relay.example', ' '],
    'the seven escapes': ['wss://relay.example', '\n\r\t\b\f"\\'],
    'all control characters': ['wss://relay.example', CONTROLS.join('') + '\x7f'],
    injection: ['wss://relay.example', '"],["relay","wss://other.example"]],"content":"'],
    'an answer itself': ['wss://relay.example', JSON.stringify(['AUTH', { kind: 22242 }])],
    unicode: ['wss://relay.example', 'Grüße 世界 😀 \u2028\ufeff\u{10ffff}'],
    '512 bytes': ['wss://relay.example', 'x'.repeat(512)],
    '512 control characters': [`wss://relay.example/${'x'.repeat(492)}`, '\x01'.repeat(512)],
    '512 quotes': ['wss://relay.example', '"'.repeat(512)],
    '128 emoji': ['wss://relay.example', '😀'.repeat(128)],
  }
  for (const [name, [relay, challenge]] of Object.entries(cases)) {
    const event = finalizeEvent({ ...makeAuthEvent(relay, challenge), created_at: NOW }, key)
    print({ name, key: Buffer.from(key).toString('hex'), relay, challenge, event })
  }
}

const makers = { events, auth }
if (!makers[process.argv[2]]) throw new Error('usage: node make-events.cjs events|auth')
makers[process.argv[2]]()
