import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { rolldown } from 'rolldown'
import { expect, it } from 'vitest'

it('the client bundles for browsers: nothing of Node, of the server or of another package is on its way', async () => {
  const root = fileURLToPath(new URL('../..', import.meta.url))
  const bundle = await rolldown({
    input: `${root}src/client/index.ts`,
    platform: 'browser',
    logLevel: 'silent',
  })
  const { output } = await bundle.generate({ format: 'esm', minify: true })
  await bundle.close()
  const [chunk, ...others] = output
  expect(others).toEqual([])
  // a Node built-in or a package that is not here would be left as an import
  expect([...chunk.imports, ...chunk.dynamicImports]).toEqual([])
  expect(chunk.moduleIds.length).toBeGreaterThan(3)
  // which bucket `auto` is, the server and the pages have to say alike
  const shared = [`${root}src/util/auto-bucket.ts`]
  expect(
    chunk.moduleIds.filter((id) => !id.startsWith(`${root}src/client/`) && !shared.includes(id)),
  ).toEqual([])
  expect(chunk.code).not.toMatch(/\bprocess\b|\bBuffer\.from\b|\brequire\(/)
  expect(gzipSync(chunk.code).length).toBeLessThan(10_000)
})
