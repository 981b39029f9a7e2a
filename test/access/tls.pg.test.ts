import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { request } from 'node:https'
import { join } from 'node:path'
import { connect, type TLSSocket } from 'node:tls'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createServer, listen } from '../../src/api/index.ts'
import { defineConfig } from '../../src/schema/index.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'

const config = defineConfig({
  datasets: [],
  server: { auth: { keys: true }, tls: { certFile: 'cert.pem', keyFile: 'key.pem' } },
})

let engine: TestEngine<typeof config>
let port: number
let close: () => Promise<void>
const fileOf = (name: string): string => join(engine.root, name)

/** A certificate that nobody has signed but its own key. */
function makeCertificate(serial: number): void {
  execFileSync(
    'openssl',
    [
      ...[
        'req',
        '-x509',
        '-newkey',
        'ec',
        '-pkeyopt',
        'ec_paramgen_curve:prime256v1',
        '-nodes',
        '-days',
        '2',
      ],
      ...['-set_serial', String(serial), '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'],
      ...['-keyout', fileOf('key.pem'), '-out', fileOf('cert.pem')],
    ],
    { stdio: 'pipe' },
  )
}

beforeAll(async () => {
  engine = await createTestEngine(config)
  makeCertificate(17)
  const app = await createServer(engine.tm, { access: { tlsPollMs: 20 } })
  const address = await listen(app, { host: '127.0.0.1', port: 0 })
  expect(address).toMatch(/^https:/)
  port = Number(new URL(address).port)
  close = async () => {
    await app.close()
    await engine.close()
  }
})
afterAll(() => close())

function handshake(
  options: { maxVersion?: 'TLSv1.2' } = {},
): Promise<{ protocol: string | null; serial: string }> {
  return new Promise((resolve, reject) => {
    const ca = readFileSync(fileOf('cert.pem'))
    const socket: TLSSocket = connect(
      { port, host: '127.0.0.1', servername: 'localhost', ca, ...options },
      () => {
        resolve({ protocol: socket.getProtocol(), serial: socket.getPeerCertificate().serialNumber })
        socket.destroy()
      },
    )
    socket.once('error', reject)
  })
}

it('TLS 1.3 is spoken, and nothing older', async () => {
  expect(await handshake()).toMatchObject({ protocol: 'TLSv1.3', serial: '11' })
  await expect(handshake({ maxVersion: 'TLSv1.2' })).rejects.toThrow(/protocol version/)
})

it('browsers are told to stay with it, and sessions are of this host and TLS alone', async () => {
  const actor = {
    kind: 'cli',
    id: 'root',
    tenant: { kind: 'all' },
    datasets: null,
    requestId: null,
    address: null,
  } as const
  const { secret } = await engine.tm.access.keys.create(
    { name: 'x', scopes: ['query'], tenant: actor.tenant, datasets: null, expiresAt: null },
    actor,
  )
  const headers = await new Promise<Record<string, unknown>>((resolve, reject) => {
    request(
      {
        ...{ port, host: '127.0.0.1', servername: 'localhost', method: 'POST', path: '/api/v1/session' },
        ca: readFileSync(fileOf('cert.pem')),
        headers: { authorization: `Bearer ${secret}` },
        agent: false,
      },
      (response) => {
        response.resume()
        resolve(response.headers)
      },
    )
      .on('error', reject)
      .end()
  })
  expect(headers).toMatchObject({ 'strict-transport-security': expect.stringContaining('max-age=') })
  expect(String(headers['set-cookie'])).toMatch(/^__Host-tidemark_session=\w{43}; .*HttpOnly.*Secure$/)
})

it('a certificate that is renewed is used by the next connection, without a restart', async () => {
  makeCertificate(18)
  await expect
    .poll(() =>
      handshake().then(
        ({ serial }) => serial,
        () => null,
      ),
    )
    .toBe('12')
})

it('files that are not there, or are no pair, are told when the server is made', async () => {
  const made = (certFile: string) =>
    createServer(
      Object.create(engine.tm, {
        config: { value: { ...config, server: { ...config.server, tls: { certFile, keyFile: 'key.pem' } } } },
      }),
    )
  await expect(made('nothing.pem')).rejects.toMatchObject({
    code: 'TM_CONFIG',
    params: { path: 'server.tls.certFile', problem: expect.stringContaining('ENOENT') },
  })
  await expect(made('key.pem')).rejects.toMatchObject({ code: 'TM_CONFIG' })
})
