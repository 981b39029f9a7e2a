import { loadParser, type Parser } from './parser.ts'
import { refuse } from './refuse.ts'
import { rewriteSelect } from './rewrite.ts'
import { isNode, listOf, mapTree, type Node, sameTree } from './tree.ts'

/**
 * Rewrites a statement written for TimescaleDB so that PostgreSQL fills its gaps: wherever a query groups by
 * `time_bucket_gapfill`, with `locf` and `interpolate`. A statement without them comes back as it is.
 *
 * @param readAggregates Names of the aggregate functions of the database: `select proname from pg_proc where prokind = 'a'`; asked
 * only where there is something to fill.
 *
 * @example
 * await fillGaps(`select time_bucket_gapfill('1 hour', time) as hour, locf(avg(value)) as value
 *   from metrics where time >= '2026-01-01' and time < '2026-01-02' group by hour`, async () => new Set(['avg']))
 *
 * @throws TidemarkError TM_GAPFILL where it cannot be filled, with the reason.
 */
export async function fillGaps(
  text: string,
  readAggregates: () => Promise<ReadonlySet<string>>,
): Promise<string> {
  if (!/time_bucket_gapfill/i.test(text)) return text
  const parser = await loadParser()
  const parsed = parser.parse(text)
  const statements = listOf(parsed['stmts'])
  if (statements.length !== 1) refuse(`the text has ${statements.length} statements`, 'run them one by one')
  assertPrints(parser, parsed)
  const rewritten = rewriteAll(parsed, parser, await readAggregates()) as Node
  const filled = print(parser, rewritten)
  if (sameTree(parsed, rewritten)) return text
  parser.parse(filled)
  return filled
}

/** From the innermost query out. */
function rewriteAll(value: unknown, parser: Parser, aggregates: ReadonlySet<string>): unknown {
  if (Array.isArray(value)) return value.map((entry) => rewriteAll(entry, parser, aggregates))
  if (!isNode(value)) return value
  const inner = Object.fromEntries(
    Object.entries(value).map(([key, entry]) => [key, rewriteAll(entry, parser, aggregates)]),
  )
  const isSelect = 'targetList' in inner && 'op' in inner
  return isSelect ? rewriteSelect(inner, parser, aggregates) : inner
}

/** The printer is not PostgreSQL's own. What it prints of the statement must be read as the same statement. */
function assertPrints(parser: Parser, parsed: Node): void {
  const printed = parser.parse(print(parser, parsed))
  if (!sameTree(normal(parsed), normal(printed)))
    refuse(
      'the statement cannot be printed again exactly',
      'write the parts that are not about time more simply',
    )
}

function print(parser: Parser, parsed: Node): string {
  return listOf(parsed['stmts'])
    .map((statement) => parser.print(statement['stmt'] as Node))
    .join(';\n')
}

/** How a call was written (`cast(x as t)` or `x::t`) is no difference. */
function normal(value: unknown): unknown {
  return mapTree(value, (node) => {
    if (!('funcformat' in node)) return null
    const { funcformat: _, ...rest } = node
    return normal(rest) as Node
  })
}
