import type { ColumnType, HypertableDefinition, StoredDefinition } from './definition.ts'
import { checkKeys, type ProblemList, suggest } from './problems.ts'

/** A row before it is checked. */
export type RawRow = Readonly<Record<string, unknown>>

/** Registered, as `columnSpec` is: steps may come from another copy of this module. */
export const dropReason: unique symbol = Symbol.for('tidemark.drop') as never

/** A row that a step leaves out, with a word for counting: `bot`. */
export interface Dropped {
  readonly [dropReason]: string
}

/** Gives the row with more columns, or drops it. It never changes the row that it is given. */
export type ApplyStep = (row: RawRow) => RawRow | Dropped

/** Something declared that adds columns to rows as they come, or drops rows. Made with the functions of tidemark/enrich. */
export interface EnrichStep {
  readonly step: string
  /** Of the row; need not be columns: what is none is taken away at the end. */
  readonly reads: readonly string[]
  /** Columns, and the types that they may have. */
  readonly writes: Readonly<Record<string, readonly ColumnType[]>>
  /** Opens what the step needs (a file, relative to `dir`). */
  open(dir: string): Promise<ApplyStep>
}

export interface EnrichOptions {
  readonly into: StoredDefinition
  /** In their order: a step sees what those before it wrote. */
  readonly steps: readonly EnrichStep[]
}

/** Reads and checks `ingest.enrich`. */
export function readEnrich(
  problems: ProblemList,
  path: string,
  input: unknown,
  datasets: readonly unknown[],
): readonly EnrichOptions[] {
  if (input === undefined || input === null) return Object.freeze([])
  if (!Array.isArray(input)) {
    problems.add(path, 'must be a list such as [{ into: events, steps: [userAgent({ … })] }]')
    return Object.freeze([])
  }
  const seen = new Set<unknown>()
  const all = input.flatMap((entry: unknown, i) => {
    const at = `${path}[${i}]`
    if (!checkKeys(problems, at, entry, ['into', 'steps'])) return []
    const into = entry['into'] as HypertableDefinition | undefined
    const steps = entry['steps']
    if (!datasets.includes(into)) {
      problems.add(`${at}.into`, 'must be a table or hypertable of the list of datasets')
      return []
    }
    if (seen.has(into))
      problems.add(`${at}.into`, `${into!.name} has steps already; put all of them in one list`)
    seen.add(into)
    if (!Array.isArray(steps) || !steps.every(isStep)) {
      problems.add(`${at}.steps`, 'must be a list of what the functions of tidemark/enrich made')
      return []
    }
    steps.forEach((step, k) => {
      checkStep(problems, `${at}.steps[${k}]`, step, into!)
    })
    return [Object.freeze({ into: into!, steps: Object.freeze([...steps]) })]
  })
  return Object.freeze(all)
}

function checkStep(problems: ProblemList, path: string, step: EnrichStep, into: StoredDefinition): void {
  for (const [name, types] of Object.entries(step.writes)) {
    const column = Object.hasOwn(into.columns, name) ? into.columns[name] : undefined
    if (column === undefined)
      problems.add(
        path,
        `${step.step}: "${name}" is not a column of ${into.name}${suggest(name, Object.keys(into.columns))}`,
      )
    else if (!types.includes(column.type))
      problems.add(path, `${step.step}: column "${name}" is ${column.type}; it writes ${types.join(' or ')}`)
    else if (!column.nullable && column.default === null)
      problems.add(
        path,
        `${step.step}: column "${name}" must be nullable or have a default: not every row gets a value`,
      )
  }
}

function isStep(value: unknown): value is EnrichStep {
  return (
    typeof value === 'object' && value !== null && 'step' in value && 'writes' in value && 'open' in value
  )
}
