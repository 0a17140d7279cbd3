// What device code written for Azure IoT Hub does with Microsoft's device SDK,
// told by the test: transport, address of the gateway, file of its certificate,
// connection string, endpoint to send to. It prints what happens.
const tls = require('tls')
const [transport, address, ca, connectionString, to] = process.argv.slice(2)
const [host, port] = address.split(':')

// The SDK knows ports 8883 and 443 alone; the gateway of a test has any.
let connections = 0
const connect = tls.connect
tls.connect = (options, ...rest) => {
  connections++
  return connect({ ...options, host, port: Number(port) }, ...rest)
}

const { Client, Message } = require('azure-iot-device')
const client = Client.fromConnectionString(connectionString, require('azure-iot-device-mqtt')[transport])

function fail (err) {
  console.error(err)
  process.exit(1)
}

async function send (body, address) {
  const m = new Message(body)
  m.messageId = `m-${body}`
  m.correlationId = 'c/1'
  m.contentType = 'application/json'
  m.contentEncoding = 'utf-8'
  m.to = address
  m.properties.add('level', '21 %')
  const { constructor } = await client.sendEvent(m)
  console.log('sent', body, constructor.name)
}

let sending

async function received (m) {
  console.log('received', m.getData().toString(), m.messageId, m.correlationId, m.contentType, m.contentEncoding, m.properties.getValue('level'))
  await client.complete(m)
  if (m.getData().toString() === '"before"') {
    // It makes a new token at once, and connects again to show it. What is not
    // given again, it forgets.
    await client.setOptions({ ca, tokenRenewal: { tokenValidTimeInSeconds: 7200, tokenRenewalMarginInSeconds: 60 } })
    sending = send('"after"', `endpoints/${to.split(',')[1]}`)
    return sending
  }
  await sending // it may come before that is told
  await client.close()
  console.log('connections', connections)
  process.exit(0)
}

async function main () {
  await client.setOptions({ ca })
  client.on('error', fail)
  client.on('disconnect', fail)
  await client.open()
  await send('"hello"', `endpoints/${to.split(',')[0]}`)
  client.on('message', (m) => received(m).catch(fail))
}

main().catch(fail)
