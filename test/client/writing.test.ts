import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type Client, type ClientOptions, createClient, type WriteFailure } from '../../src/client/index.ts'
import { created, createFlakyServer, type FlakyServer, problem } from './flaky-server.ts'

let server: FlakyServer
const clients: Client[] = []
beforeEach(async () => {
  server = await createFlakyServer()
})
afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.close({ timeoutMs: 0 }).catch(() => {})))
  await server.close()
})

function connect(options: Partial<ClientOptions> = {}): Client {
  const client = createClient({ url: server.url, maxDelayMs: 10, ...options })
  clients.push(client)
  return client
}
const rows = (n: number, from = 0) => Array.from({ length: n }, (_, i) => ({ i: from + i }))
const stored = (): unknown[] => server.stored.map((row) => row['i'])
const numbers = (n: number, from = 0) => Array.from({ length: n }, (_, i) => from + i)
const codeOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => 'no error',
    (error) => error.code ?? error.name,
  )

describe('rows that are inserted', () => {
  it('go out in batches by number, each with a key of its own', async () => {
    const client = connect({ maxBatchRows: 10, maxDelayMs: 60_000 })
    await client.insert('a.b', rows(25))
    await client.flush()
    expect(server.requests.map((request) => request.rows.length).sort()).toEqual([10, 10, 5])
    expect(new Set(server.requests.map(({ key }) => key)).size).toBe(3)
    expect(server.requests[0]?.path).toBe('/api/v1/datasets/a.b/rows?onConflict=error')
    expect(stored().sort((a, b) => Number(a) - Number(b))).toEqual(numbers(25))
  })

  it('go out by length, and after the delay by themselves', async () => {
    const client = connect({ maxBatchLength: 100, maxDelayMs: 20 })
    await client.insert('a.b', [
      { text: 'x'.repeat(60) },
      { text: 'x'.repeat(60) },
      { text: 'x'.repeat(500) },
    ])
    await expect.poll(() => server.stored.length).toBe(3)
    expect(server.requests).toHaveLength(3)
    await expect.poll(() => client.buffered).toBe(0)
  })

  it('of several tables and rules go apart', async () => {
    const client = connect()
    await client.insert('a.b', rows(1))
    await client.insert('a.c', rows(1))
    await client.insert('a.b', rows(1), { onConflict: 'ignore' })
    await client.flush()
    expect(server.requests.map(({ path }) => path).sort()).toEqual([
      '/api/v1/datasets/a.b/rows?onConflict=error',
      '/api/v1/datasets/a.b/rows?onConflict=ignore',
      '/api/v1/datasets/a.c/rows?onConflict=error',
    ])
  })

  it('are taken as they were: what happens to the objects later is not sent', async () => {
    const client = connect()
    const row = {
      at: new Date('2026-01-01T00:00:00Z'),
      big: 2n ** 60n,
      small: 7n,
      not: Number.NaN,
      text: ['a', null],
    }
    await client.insert('a.b', [row])
    row.text[0] = 'changed'
    await client.flush()
    expect(server.stored).toEqual([
      { at: '2026-01-01T00:00:00.000Z', big: '1152921504606846976', small: 7, not: 'NaN', text: ['a', null] },
    ])
  })

  it('are compressed when they are many, and carry the API key', async () => {
    const client = connect({ apiKey: 'secret' })
    await client.insert('a.b', rows(500))
    await client.flush()
    expect(server.requests[0]?.headers).toMatchObject({
      'content-encoding': 'gzip',
      'content-type': 'application/x-ndjson',
      authorization: 'Bearer secret',
    })
    expect(stored()).toEqual(numbers(500))
  })

  it('are refused at once when JSON would change them', async () => {
    const client = connect()
    expect(await codeOf(client.insert('a.b', [{ document: { x: Number.NaN } }]))).toBe('TM_VALUE')
    expect(await codeOf(client.insert('a.b', [{ document: { x: 1n } }]))).toBe('TM_VALUE')
    expect(await codeOf(client.insert('a.b', [{ at: new Date('never') }]))).toBe('TM_VALUE')
    expect(client.buffered).toBe(0)
  })
})

describe('a server that fails', () => {
  it('gets the same batch with the same key until it takes it, and has each row once', async () => {
    let tries = 0
    server.reply = () =>
      (
        [
          'cut',
          'lost',
          { status: 502 },
          problem(503, 'TM_CONNECT', { retryable: true }),
          problem(503, 'TM_COMMIT_UNKNOWN'),
        ] as const
      )[tries++] ?? created
    const client = connect()
    await client.insert('a.b', rows(3))
    await client.flush()
    expect(server.requests).toHaveLength(6)
    expect(new Set(server.requests.map(({ key }) => key)).size).toBe(1)
    expect(stored()).toEqual([0, 1, 2])
  })

  it('is left alone for as long as it says', async () => {
    server.reply = () =>
      server.requests.length === 1
        ? {
            ...(problem(429, 'TM_OVERLOADED', { retryable: true }) as object),
            status: 429,
            headers: { 'retry-after': '1' },
          }
        : created
    const client = connect()
    await client.insert('a.b', rows(1))
    await client.flush()
    const [first, second] = server.requests
    expect((second?.atMs ?? 0) - (first?.atMs ?? 0)).toBeGreaterThan(950)
  })

  it('is given up after so many tries, and the rows are told', async () => {
    server.reply = () => ({ status: 503 })
    const failures: WriteFailure[] = []
    const client = connect({ maxAttempts: 3, onError: (failure) => failures.push(failure) })
    await client.insert('a.b', rows(2))
    await client.flush()
    expect(server.requests).toHaveLength(3)
    expect(failures).toMatchObject([
      { table: 'a.b', rows: [{ i: 0 }, { i: 1 }], error: { code: 'TM_HTTP', status: 503, retryable: true } },
    ])
    expect(client.buffered).toBe(0)
  })

  it('that cannot be reached makes flush reject, once, where nobody listens', async () => {
    await server.close()
    const client = connect({ maxAttempts: 2 })
    await client.insert('a.b', rows(2))
    const error = await client.flush().catch((caught) => caught)
    expect(error).toMatchObject({ code: 'TM_NO_ANSWER', status: null })
    expect(error.message).toMatch(/2 rows were not written.*ECONNREFUSED/)
    await client.flush()
    server = await createFlakyServer()
  })

  it('that never answers is not waited for longer than the time limit', async () => {
    server.reply = () => new Promise(() => {})
    const client = connect({ maxAttempts: 1, timeoutMs: 100 })
    const error = await client.insertNow('a.b', rows(1)).catch((caught) => caught)
    expect(error).toMatchObject({ code: 'TM_NO_ANSWER', retryable: true })
    expect(error.message).toContain('100 ms')
  })
})

describe('rows that the server refuses', () => {
  it('do not keep the others out: the row that is named goes, the rest is sent again', async () => {
    server.reply = (request) => {
      const row = request.rows.findIndex(({ i }) => i === 3 || i === 5)
      return row < 0 ? created : problem(422, 'TM_ROW', { params: { row } })
    }
    const failures: WriteFailure[] = []
    const client = connect({ onError: (failure) => failures.push(failure) })
    await client.insert('a.b', rows(8))
    await client.flush()
    expect(stored()).toEqual([0, 1, 2, 4, 6, 7])
    expect(failures.flatMap((failure) => failure.rows)).toEqual([{ i: 3 }, { i: 5 }])
    expect(new Set(server.requests.map(({ key }) => key)).size).toBe(3)
  })

  it('are found by halves where no row is named', async () => {
    server.reply = (request) =>
      request.rows.some(({ i }) => i === 6) ? problem(409, 'TM_DUPLICATE_KEY') : created
    const failures: WriteFailure[] = []
    const client = connect({ onError: (failure) => failures.push(failure) })
    await client.insert('a.b', rows(16))
    await client.flush()
    expect(stored()).toEqual(numbers(16).filter((i) => i !== 6))
    expect(failures.map((failure) => failure.rows)).toEqual([[{ i: 6 }]])
    expect(server.requests.length).toBeLessThanOrEqual(9)
  })

  it('do so with an end: a table that takes none costs a bounded number of requests', async () => {
    server.reply = () => problem(409, 'TM_CONSTRAINT')
    let told = 0
    const client = connect({ onError: (failure) => (told += failure.rows.length) })
    await client.insert('a.b', rows(1_000))
    await client.flush()
    expect(told).toBe(1_000)
    expect(server.requests.length).toBeLessThanOrEqual(80)
  })

  it('are sent in smaller batches when the body is too large', async () => {
    server.reply = (request) => (request.rows.length > 4 ? problem(413, 'TM_BODY_TOO_LARGE') : created)
    const client = connect()
    await client.insert('a.b', rows(16))
    await client.flush()
    expect(stored()).toEqual(numbers(16))
  })

  it('are told where the server took the others', async () => {
    server.reply = () => ({
      status: 207,
      body: { inserted: 2, rejected: { count: 1, rows: [{ index: 1, column: 'i', message: 'is odd' }] } },
    })
    const failures: WriteFailure[] = []
    const client = connect({ onError: (failure) => failures.push(failure) })
    await client.insert('a.b', rows(3))
    await client.flush()
    expect(failures).toMatchObject([{ rows: [{ i: 1 }], error: { code: 'TM_REJECTED', status: 207 } }])
    expect(server.requests).toHaveLength(1)
  })

  it('are not sent again for an error that no row is to blame for', async () => {
    server.reply = () => problem(404, 'TM_UNKNOWN_DATASET', { params: { name: 'a.b' } })
    const client = connect()
    await client.insert('a.b', rows(10))
    expect(await codeOf(client.flush())).toBe('TM_UNKNOWN_DATASET')
    expect(server.requests).toHaveLength(1)
  })
})

describe('the buffer', () => {
  it('makes insert wait when it is full, and goes on when there is room', async () => {
    let release = (): void => {}
    const gate = new Promise<void>((resolve) => {
      release = resolve
    })
    server.reply = async () => {
      await gate
      return created
    }
    const client = connect({ maxBufferedRows: 20, maxBatchRows: 5 })
    let isTaken = false
    const inserted = client.insert('a.b', rows(50)).then(() => {
      isTaken = true
    })
    await expect.poll(() => server.requests.length).toBe(2)
    expect(isTaken).toBe(false)
    expect(client.buffered).toBe(20)
    release()
    await inserted
    await client.flush()
    expect(stored().sort((a, b) => Number(a) - Number(b))).toEqual(numbers(50))
  })

  it('or makes it reject and take nothing', async () => {
    server.reply = () => new Promise(() => {})
    const client = connect({ maxBufferedRows: 20, whenFull: 'reject', maxDelayMs: 60_000 })
    await client.insert('a.b', rows(15))
    expect(await codeOf(client.insert('a.b', rows(6)))).toBe('TM_FULL')
    expect(client.buffered).toBe(15)
    await client.insert('a.b', rows(5))
    expect(client.buffered).toBe(20)
  })

  it('flush waits for what was taken before it, and for no more', async () => {
    server.reply = (request) => (request.path.includes('slow') ? new Promise(() => {}) : created)
    const client = connect({ maxDelayMs: 60_000, timeoutMs: 300_000 })
    await client.insert('a.b', rows(3))
    const flushed = client.flush()
    await client.insert('a.slow', rows(3))
    await flushed
    expect(stored()).toEqual([0, 1, 2])
    expect(client.buffered).toBe(3)
  })
})

describe('the end of a client', () => {
  it('writes what it has', async () => {
    const client = connect({ maxDelayMs: 60_000 })
    await client.insert('a.b', rows(3))
    await client.close()
    expect(stored()).toEqual([0, 1, 2])
    expect(await codeOf(client.insert('a.b', rows(1)))).toBe('TM_CLOSED')
    expect(await codeOf(client.insertNow('a.b', rows(1)))).toBe('TM_CLOSED')
    expect(await codeOf(client.query('a.b', { columns: '*' }))).toBe('TM_CLOSED')
  })

  it('does not wait for a dead server longer than it is told, and tells what was lost', async () => {
    server.reply = () => ({ status: 503, headers: { 'retry-after': '60' } })
    const failures: WriteFailure[] = []
    const client = connect({
      onError: (failure) => failures.push(failure),
      maxBufferedRows: 10,
      maxBatchRows: 5,
    })
    const waiting = codeOf(client.insert('a.b', rows(30)))
    await expect.poll(() => server.requests.length).toBe(2)
    await client.close({ timeoutMs: 50 })
    expect(await waiting).toBe('TM_CLOSED')
    expect(failures.every(({ error }) => error.code === 'TM_CLOSED')).toBe(true)
    expect(failures.flatMap((failure) => failure.rows).length).toBe(10)
    expect(client.buffered).toBe(0)
  })
})

describe('insertNow', () => {
  it('answers what was done, after a lost answer too', async () => {
    server.reply = () =>
      server.requests.length === 1 ? 'lost' : { status: 201, body: { inserted: 2, ignored: 0 } }
    expect(await connect().insertNow('a.b', rows(2))).toEqual({ inserted: 2, ignored: 0 })
    expect(stored()).toEqual([0, 1])
    expect(server.requests[0]?.path).toBe('/api/v1/datasets/a.b/rows?onConflict=error&atomic=true')
  })

  it('stops when its caller does', async () => {
    server.reply = () => ({ status: 503 })
    const controller = new AbortController()
    const failed = connect().insertNow('a.b', rows(1), { signal: controller.signal })
    await expect.poll(() => server.requests.length).toBeGreaterThan(0)
    controller.abort()
    expect(await codeOf(failed)).not.toBe('no error')
  })
})

it.each([
  [{ url: 'nowhere' }, 'url'],
  [{ maxBatchRows: 0 }, 'maxBatchRows'],
  [{ maxAttempts: 1000 }, 'maxAttempts'],
  [{ maxDelayMs: -1 }, 'maxDelayMs'],
  [{ whenFull: 'explode' as 'wait' }, 'whenFull'],
])('an option that cannot be is refused: %j', (options, name) => {
  expect(() => connect(options)).toThrow(
    expect.objectContaining({ code: 'TM_CONFIG', message: expect.stringContaining(name) }),
  )
})
