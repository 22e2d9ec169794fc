// clients.mjs CLIENT URL: one request by a JavaScript client in its default configuration.
import process from 'node:process'

const [, , client, address] = process.argv
const url = new URL(address)
const encrypted = url.protocol === 'https:'

const clients = {
  fetch: async () => (await fetch(address)).text(),
  get: async () => {
    const { get } = encrypted ? await import('node:https') : await import('node:http')
    await new Promise((resolve, reject) => get(address, (response) => response.resume().on('end', resolve)).on('error', reject))
  },
  axios: async () => (await import('axios')).default.get(address),
  got: async () => (await import('got')).default(address, { retry: { limit: 0 } }),
  undici: async () => (await (await import('undici')).request(address)).body.text(),
  'node-fetch': async () => (await (await import('node-fetch')).default(address)).text(),
  superagent: async () => (await import('superagent')).default.get(address),
  needle: async () => (await import('needle')).default('get', address),
  ws: async () => {
    const { WebSocket } = await import('ws')
    const socket = new WebSocket(address)
    await new Promise((resolve, reject) => socket.on('close', resolve).on('error', reject))
  },
  'grpc-js': async () => {
    const grpc = await import('@grpc/grpc-js')
    const credentials = encrypted ? grpc.credentials.createSsl() : grpc.credentials.createInsecure()
    const connection = new grpc.Client(url.hostname + (encrypted ? ':443' : ':80'), credentials)
    const same = (bytes) => bytes
    await new Promise((resolve, reject) => {
      const deadline = { deadline: Date.now() + 10_000 }
      const end = (error) => (error ? reject(error) : resolve())
      connection.makeUnaryRequest('/grpc.health.v1.Health/Check', same, same, Buffer.alloc(0), new grpc.Metadata(), deadline, end)
    })
    connection.close()
  },
  s3: async () => {
    const { S3Client, ListBucketsCommand } = await import('@aws-sdk/client-s3')
    const credentials = { accessKeyId: 'a', secretAccessKey: 'b' }
    const s3 = new S3Client({ endpoint: address, region: 'fr-par', forcePathStyle: true, maxAttempts: 1, credentials })
    await s3.send(new ListBucketsCommand())
  },
}

await clients[client]()
