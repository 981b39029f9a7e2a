import { expect, it } from 'vitest'
import { defineConfig, isLoopback, nameOfHost } from '../../src/schema/index.ts'
import { isTidemarkError } from '../../src/util/errors.ts'

function problemsOf(server: unknown): string {
  try {
    defineConfig({ datasets: [], server: server as never })
  } catch (error) {
    if (isTidemarkError(error) && error.code === 'TM_CONFIG') return error.message
    throw error
  }
  return ''
}

it('what holds without a word is this machine alone, and nobody is asked', () => {
  expect(defineConfig({ datasets: [] }).server).toMatchObject({
    host: '127.0.0.1',
    port: 4680,
    auth: null,
    cors: null,
    tls: null,
    trustProxy: false,
    rateLimit: { key: null, tenant: null, failures: { requests: 30, perMs: 60_000, burst: 30 } },
    hosts: [],
    audit: { keepMs: 365 * 86_400_000 },
    live: { memoryBytes: 268_435_456, tenantShare: 0.25 },
  })
})

it('everything that is wrong is told at once, each with its path', () => {
  const told = problemsOf({
    host: '',
    auth: {
      keys: 'yes',
      jwt: { issuer: [], algorithms: ['HS256'], jwksUrl: 'http://id.example.org' },
      sesion: 1,
    },
    cors: { origins: ['https://a.example/'] },
    tls: { certFile: 'a.pem' },
    rateLimit: { key: { per: '1 second' }, tenant: { requests: 0 } },
    trustProxy: 1,
    audit: { keep: 'long' },
    live: { memory: 1, tenantShare: 0 },
    hosts: ['http://a.example', 'b.example:80', '::1', 'c.example'],
  })
  for (const path of [
    'server.host',
    'server.auth.keys',
    'server.auth.sesion',
    'server.auth.jwt.issuer',
    'server.auth.jwt.audience',
    'server.auth.jwt.algorithms',
    'server.auth.jwt.jwksUrl',
    'server.cors.origins',
    'server.tls.keyFile',
    'server.rateLimit.key.requests',
    'server.rateLimit.tenant.requests',
    'server.trustProxy',
    'server.audit.keep',
    'server.live.memory',
    'server.live.tenantShare',
    'server.hosts[0]',
    'server.hosts[1]',
  ])
    expect(told).toContain(`config.${path}: `)
  for (const path of ['server.hosts[2]', 'server.hosts[3]']) expect(told).not.toContain(path)
})

it('a server that takes neither keys nor tokens is none', () => {
  expect(problemsOf({ auth: { keys: false } })).toContain("say auth: 'none'")
  expect(problemsOf({ auth: 'all' })).toContain('server.auth')
})

it('a URL with a password is not shown', () => {
  const jwt = { issuer: 'a', audience: 'b', jwksUrl: 'http://user:hunter2@id.example.org/' }
  expect(problemsOf({ auth: { jwt } })).not.toContain('hunter2')
})

it('the name of a host is what stands before its port', () => {
  const names = {
    'a.example': 'a.example',
    'A.Example.:4680': 'a.example',
    'localhost:1': 'localhost',
    '[::1]:4680': '::1',
    '[::1]': '::1',
  }
  for (const [host, name] of Object.entries(names)) expect(nameOfHost(host)).toBe(name)
  for (const host of ['', 'a b', 'a:b', 'user@localhost', 'localhost/x', '::1', 'localhost:80:80', '[::1'])
    expect(nameOfHost(host)).toBeNull()
})

it('loopback addresses are told from others', () => {
  for (const host of ['127.0.0.1', '127.9.9.9', 'localhost', '::1', '[::1]', '::ffff:127.0.0.1'])
    expect(isLoopback(host)).toBe(true)
  for (const host of ['0.0.0.0', '::', '10.0.0.1', '127.0.0.1.example.org', 'example.org', '128.0.0.1'])
    expect(isLoopback(host)).toBe(false)
})
