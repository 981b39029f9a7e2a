import type { QueryableDefinition } from '../schema/index.ts'
import type { Instant } from '../time/index.ts'
import { TidemarkError } from '../util/errors.ts'
import type { BoardDocument } from './contract.ts'
import { panelQuestion, rangeOfBoard } from './panel-question.ts'
import { within, wrong } from './problem.ts'

export interface Declared {
  /** @throws TidemarkError TM_UNKNOWN_DATASET */
  readonly queryable: (name: string) => QueryableDefinition
  /** @throws TidemarkError when it cannot be asked. */
  readonly check: (definition: QueryableDefinition, query: unknown) => void
}

/**
 * Whether every panel can be asked over the range of the board.
 *
 * @returns names of what they are about.
 * @throws TidemarkError TM_QUERY with the place of the panel.
 */
export function checkPanels(document: BoardDocument, now: Instant, { queryable, check }: Declared): string[] {
  const names = document.panels.map((panel, i) =>
    within(`document.panels[${i}].query`, () => {
      const definition = queryable(panel.query.dataset)
      if (definition.kind === 'table' && panel.compare !== undefined)
        wrong('dataset', `${definition.name} has no time, so there is nothing earlier to compare with`)
      const range = rangeOfBoard(document, now, panel.query.zone ?? null)
      check(definition, panelQuestion(panel, range, definition))
      return definition.name
    }),
  )
  return [...new Set(names)].sort()
}

/** As it is declared; of what is not (no more), as it is written. */
export function nameOf({ queryable }: Pick<Declared, 'queryable'>, dataset: string): string {
  try {
    return queryable(dataset).name
  } catch (error) {
    if (error instanceof TidemarkError && error.code === 'TM_UNKNOWN_DATASET') return dataset
    throw error
  }
}
