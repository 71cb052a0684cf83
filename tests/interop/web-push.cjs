// web-push: prints, as JSON, the request that the package web-push would send; its arguments come
// as JSON on standard input.
const webPush = require('web-push')

const { subscription, payload, options } = JSON.parse(require('fs').readFileSync(0))
const { method, headers, body, endpoint } =
  webPush.generateRequestDetails(subscription, payload, options)
console.log(JSON.stringify({ method, headers, endpoint, body: body.toString('base64') }))
