import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { protocolReasons } from '../../src/protocols/index.ts'

it('the guide lists the reasons of protocols as the code has them', () => {
  const guide = readFileSync(new URL('../../docs/guide/protocols.md', import.meta.url), 'utf8')
  const listed = [...guide.matchAll(/^\| `(\w+)` \| (.*) \|$/gm)].map(([, reason, text]) => [reason, text])
  expect(listed).toEqual(Object.entries(protocolReasons))
})
