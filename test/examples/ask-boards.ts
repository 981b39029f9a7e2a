import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { BoardInput } from '../../src/boards/index.ts'
import type { Tidemark } from '../../src/engine.ts'
import { allTenants, type TenantScope } from '../../src/schema/index.ts'

export const exampleNames = [
  'flights',
  'llm-analytics',
  'market-signals',
  'product-analytics',
  'rank-tracker',
] as const

export function folderOf(example: (typeof exampleNames)[number]): string {
  return fileURLToPath(new URL(`../../examples/${example}`, import.meta.url))
}

/**
 * Asks every panel of the boards of an example once, as somebody with a link to them does.
 *
 * @returns how many rows each has given, by its id.
 */
export async function askBoards(
  tm: Tidemark,
  example: (typeof exampleNames)[number],
  scope: TenantScope = allTenants,
): Promise<Readonly<Record<string, number>>> {
  const folder = `${folderOf(example)}/boards`
  const rows: Record<string, number> = {}
  for (const file of readdirSync(folder)) {
    const input = JSON.parse(readFileSync(`${folder}/${file}`, 'utf8')) as BoardInput
    const boards = tm.boardsOf(scope)
    const { id, document } = await boards.create(input)
    const actor = {
      kind: 'anonymous',
      id: 'test',
      tenant: scope,
      datasets: null,
      requestId: null,
      address: null,
    } as const
    const { token } = await boards.share(id, {}, { actor, keyId: null })
    const share = await tm.openShare(token, { anonymous: true, keys: true, tokens: true })
    for (const panel of document.panels) {
      const { dataset, query } = share.ask(panel.id, {})
      rows[panel.id] = (await tm.queryUnknown(dataset, query, { scope })).rows.length
      if (panel.compare === undefined) continue
      const before = share.ask(panel.id, { compare: true })
      await tm.queryUnknown(before.dataset, before.query, { scope })
    }
  }
  return rows
}
