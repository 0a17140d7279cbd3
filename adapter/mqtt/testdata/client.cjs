// What a device or a web page does with npm's mqtt, told by the test:
// URL, version, user, password. It prints what it receives.
const mqtt = require('mqtt')
const [url, version, username, password, to] = process.argv.slice(2)
const client = mqtt.connect(url, { protocolVersion: Number(version), username, password, clientId: 'node', clean: true, reconnectPeriod: 0, rejectUnauthorized: false })
client.on('error', (e) => { console.error('error', e.message); process.exit(1) })
client.on('connect', async () => {
  if (version === '5') {
    const refused = await client.publishAsync('channels/nowhere', 'x', { qos: 1 }).catch((e) => e)
    console.log('refused', refused.code)
  }
  await client.subscribeAsync('inbox/#', { qos: 2, properties: { subscriptionIdentifier: 9 } })
  await client.subscribeAsync('inbox', { qos: 0, properties: { subscriptionIdentifier: 700 } })
  for (const qos of [0, 1, 2]) {
    const properties = version === '5' ? { contentType: 'text/plain', userProperties: { site: 'oslo' } } : undefined
    await client.publishAsync(`endpoints/${to}/level`, String(qos), { qos, properties })
  }
})
client.on('message', (topic, payload, packet) => {
  console.log(topic, payload.toString(), packet.properties?.contentType ?? '', packet.properties?.userProperties?.site ?? '', [packet.properties?.subscriptionIdentifier ?? []].flat().join())
})
let left = 3 // deliveries to complete
client.on('packetsend', (packet) => {
  // It is told before it is sent.
  if (packet.cmd === 'pubcomp' && --left === 0) setImmediate(() => client.end(false, () => process.exit(0)))
})
