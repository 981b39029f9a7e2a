import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { decodeRemoteWrite, type RemoteWrite } from '../../src/protocols/index.ts'

const program = '/usr/bin/prometheus'
const isInstalled = existsSync(program)
if (!isInstalled) console.log(`skipped: ${program} is absent (apt-get install prometheus)`)

describe.skipIf(!isInstalled)('a real Prometheus', () => {
  const received: RemoteWrite[] = []
  const headers: Record<string, unknown>[] = []
  let folder: string
  let server: Server
  let prometheus: ChildProcess
  let log = ''
  let scrapes = 0

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'tidemark-prometheus-'))
    server = createServer((request, response) => {
      if (request.url === '/metrics') {
        scrapes++
        // gone from the third scrape on: Prometheus sends a stale marker
        const gone = scrapes < 3 ? 'short_lived{kind="a b"} 1\n' : ''
        response.end(
          `# TYPE requests_total counter\nrequests_total{code="200",path="/ü\\"x\\""} ${scrapes}\n${gone}`,
        )
        return
      }
      const chunks: Buffer[] = []
      request.on('data', (chunk: Buffer) => chunks.push(chunk))
      request.on('end', () => {
        headers.push(request.headers)
        received.push(decodeRemoteWrite(Buffer.concat(chunks)))
        response.writeHead(204).end()
      })
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as AddressInfo
    writeFileSync(
      join(folder, 'prometheus.yml'),
      [
        'global: { scrape_interval: 500ms, scrape_timeout: 450ms, external_labels: { site: here } }',
        'scrape_configs:',
        `  - { job_name: tidemark, static_configs: [{ targets: ['127.0.0.1:${port}'] }] }`,
        'remote_write:',
        `  - { url: 'http://127.0.0.1:${port}/write', queue_config: { batch_send_deadline: 100ms, max_shards: 1 } }`,
      ].join('\n'),
    )
    prometheus = spawn(
      program,
      [
        `--config.file=${join(folder, 'prometheus.yml')}`,
        `--storage.tsdb.path=${join(folder, 'data')}`,
        // port 0 is not told anywhere; what it listens on is not used
        '--web.listen-address=127.0.0.1:0',
      ],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    )
    prometheus.stderr?.on('data', (chunk: Buffer) => {
      log = (log + chunk.toString()).slice(-10_000)
    })
  })

  afterAll(async () => {
    if (prometheus.exitCode === null && prometheus.signalCode === null) {
      const ended = new Promise((resolve) => prometheus.once('exit', resolve))
      prometheus.kill('SIGKILL')
      await ended
    }
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
    rmSync(folder, { recursive: true, force: true })
  })

  const samples = () => received.flatMap((r) => r.points)

  it('sends samples, labels and stale markers that are read as it scraped them', async () => {
    await expect
      .poll(
        () =>
          samples().some((s) => s.measurement === 'short_lived' && s.isStale) || log.includes('level=error'),
        {
          timeout: 50_000,
        },
      )
      .toBe(true)
    expect(log).not.toContain('level=error')
    expect(received.every((r) => r.problemCount === 0)).toBe(true)
    expect(headers[0]).toMatchObject({
      'content-encoding': 'snappy',
      'content-type': 'application/x-protobuf',
      'x-prometheus-remote-write-version': '0.1.0',
    })
    const requests = samples().filter((s) => s.measurement === 'requests_total')
    expect(requests[0]!.tagKeys).toEqual(['code', 'instance', 'job', 'path', 'site'])
    expect(requests[0]!.tagValues).toEqual([
      '200',
      expect.stringMatching(/^127\.0\.0\.1:\d+$/),
      'tidemark',
      '/ü"x"',
      'here',
    ])
    // a scrape that took too long on a busy machine is a stale marker
    const values = requests.filter((s) => !s.isStale).map((s) => Number(s.fieldValues[0]))
    expect(values.length).toBeGreaterThanOrEqual(2)
    expect(values).toEqual([...new Set(values)].sort((a, b) => a - b))
    const times = requests.map((s) => Number(s.time))
    expect(times).toEqual([...times].sort((a, b) => a - b))
    const shortLived = samples().filter((s) => s.measurement === 'short_lived')
    expect(shortLived[0]).toMatchObject({ isStale: false, fieldValues: [1] })
    expect(shortLived.at(-1)).toMatchObject({ isStale: true, fieldValues: [Number.NaN] })
    expect(shortLived[0]!.tagValues).toContain('a b')
  })
})
