import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { type AddressInfo, createServer, Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, it, vi } from 'vitest'
import { startEmbedded } from '../../src/postgres/embedded/index.ts'

const folders: string[] = []
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true })
})

it('a port that another program takes between choice and start is replaced by another one', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-embedded-port-'))
  folders.push(folder)
  // Else root's server could not enter it, and the data would go to /var/lib/tidemark.
  await chmod(folder, 0o755)
  const thief = createServer()
  await new Promise<void>((resolve) => thief.listen(0, '127.0.0.1', resolve))
  const taken = thief.address() as AddressInfo
  // the system hands out the taken one first, as if it had been free a moment ago
  const handOut = vi.spyOn(Server.prototype, 'address').mockReturnValueOnce(taken).mockReturnValueOnce(taken)
  try {
    await using server = await startEmbedded({
      dataDir: join(folder, 'data'),
      settings: { shared_buffers: '16MB' },
    })
    expect(handOut.mock.results.map(({ value }) => (value as AddressInfo).port)).toEqual([
      taken.port,
      taken.port,
      server.port,
    ])
  } finally {
    handOut.mockRestore()
    thief.close()
  }
})
