// push-endpoint: a distributor and the device behind it, for which http_ece decrypts.
//
// Prints one line of JSON with what the device registers, then one for each push: its headers, and
// either its plaintext or what http_ece has against it. Ends with its standard input.
const crypto = require('crypto')
const http = require('http')
const ece = require('http_ece')

const device = crypto.createECDH('prime256v1')
device.generateKeys()
const auth = crypto.randomBytes(16)

function open(body) {
  try {
    const options = { version: 'aes128gcm', privateKey: device, authSecret: auth.toString('base64url') }
    return { plaintext: ece.decrypt(body, options).toString() }
  } catch (error) {
    return { error: error.message }
  }
}

const server = http.createServer((request, response) => {
  const parts = []
  request.on('data', (part) => parts.push(part))
  request.on('end', () => {
    console.log(JSON.stringify({ headers: request.headers, ...open(Buffer.concat(parts)) }))
    response.writeHead(201).end()
  })
})

server.listen(0, '127.0.0.1', () => {
  console.log(JSON.stringify({
    endpoint: `http://127.0.0.1:${server.address().port}/push/${crypto.randomUUID()}`,
    p256dh: device.getPublicKey('base64url'),
    auth: auth.toString('base64url')
  }))
})
process.stdin.resume().on('end', () => process.exit())
