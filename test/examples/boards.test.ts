import { expect, it } from 'vitest'
import flights from '../../examples/flights/tidemark.config.ts'
import llmAnalytics from '../../examples/llm-analytics/tidemark.config.ts'
import marketSignals from '../../examples/market-signals/tidemark.config.ts'
import productAnalytics from '../../examples/product-analytics/tidemark.config.ts'
import rankTracker from '../../examples/rank-tracker/tidemark.config.ts'
import { createTidemark } from '../../src/engine.ts'
import type { TidemarkConfig } from '../../src/schema/index.ts'
import { exampleNames, folderOf } from './ask-boards.ts'

const configs: Readonly<Record<(typeof exampleNames)[number], TidemarkConfig>> = {
  flights,
  'llm-analytics': llmAnalytics,
  'market-signals': marketSignals,
  'product-analytics': productAnalytics,
  'rank-tracker': rankTracker,
}

it.each(exampleNames)('the boards of %s fit what it declares, and no panel lies on another', async (name) => {
  // nothing is asked of a database for it
  const tm = await createTidemark(configs[name], {
    connectionString: 'postgres://nobody@127.0.0.1:1/nothing',
    root: folderOf(name),
  })
  await tm.openBoards()
  const boards = await tm.boardsOf({ kind: 'none' }).list()
  expect(boards).toHaveLength(1)
  const { document } = await tm.boardsOf({ kind: 'none' }).find(boards[0]!.id)
  const taken = new Map<string, string>()
  for (const { id, place } of document.panels)
    for (let x = place.x; x < place.x + place.w; x++)
      for (let y = place.y; y < place.y + place.h; y++) {
        expect(taken.get(`${x} ${y}`), id).toBeUndefined()
        taken.set(`${x} ${y}`, id)
      }
  await tm.close()
})
