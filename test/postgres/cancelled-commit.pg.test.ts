import { connect, createServer, type Socket } from 'node:net'
import { expect, it } from 'vitest'
import { createDatabase } from '../../src/postgres/index.ts'
import { sql } from '../../src/util/sql.ts'
import { createTestDatabase } from '../helpers/database.ts'

it('a cancelled statement whose answer was lost is not said to have been stopped', async () => {
  const test = await createTestDatabase({ empty: true })
  await test.db.execute('create table plain (a int)')
  const target = new URL(test.connectionString)
  const sockets = new Set<Socket>()
  let isCut = false
  const proxy = createServer((client) => {
    sockets.add(client)
    client.on('error', () => {})
    // Nor does the request to cancel arrive.
    if (isCut) return
    const server = connect(Number(target.port), target.hostname)
    server.on('error', () => {})
    client.on('data', (bytes) => server.write(bytes))
    server.on('data', (bytes) => {
      if (!isCut) client.write(bytes)
    })
    client.on('close', () => server.destroy())
  })
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
  const through = new URL(test.connectionString)
  through.hostname = '127.0.0.1'
  through.port = String((proxy.address() as { port: number }).port)
  const db = createDatabase({ connectionString: through.href, cancelTimeoutMs: 200 })
  await db.query(sql`select 1::int4`)

  isCut = true
  const stop = new AbortController()
  const writing = db.query(sql`insert into plain values (1)`, { signal: stop.signal })
  const refused = expect(writing).rejects.toMatchObject({ code: 'TM_COMMIT_UNKNOWN' })
  await expect.poll(async () => (await test.db.query(sql`select count(*) from plain`)).rows[0]![0]).toBe(1n)
  stop.abort()
  await refused

  await db.close()
  for (const socket of sockets) socket.destroy()
  await new Promise((resolve) => proxy.close(resolve))
  await test.drop()
})
