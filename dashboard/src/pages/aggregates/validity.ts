import type { AggregateHealth, StoredDataset } from 'tidemark/client'
import type { Span } from '../storage/time-axis.ts'

/** `valid`: cells answer. `open`: changed since, so rows answer until a refresh has computed it. `rows`: beyond the watermark. */
export type ValidityKind = 'valid' | 'open' | 'rows'

export interface ValidityPart extends Span {
  readonly kind: ValidityKind
}

/** From where there are rows up to now; a day where that is not known. */
export function validitySpan(first: number | null, watermark: string | null, now: number): Span {
  const marks = [first, watermark === null ? null : Date.parse(watermark)].filter(
    (at): at is number => at !== null && Number.isFinite(at) && at < now,
  )
  return { from: marks.length === 0 ? now - 86_400_000 : Math.min(...marks), to: now }
}

/** What of the span is answered from where, without gaps. Where nothing is valid, all of it is read from rows. */
export function validityParts(
  { watermark, open }: Pick<AggregateHealth, 'watermark' | 'open'>,
  span: Span,
): readonly ValidityPart[] {
  const border = watermark === null ? span.from : clamp(Date.parse(watermark), span)
  const parts: ValidityPart[] = []
  const put = (kind: ValidityKind, from: number, to: number): void => {
    if (to > from) parts.push({ kind, from, to })
  }
  let at = span.from
  for (const range of open.ranges) {
    // '-infinity' has no number
    const from = clamp(orElse(Date.parse(range.from), span.from), span)
    const to = Math.min(border, clamp(orElse(Date.parse(range.to), span.to), span))
    if (to <= at) continue
    put('valid', at, Math.min(from, border))
    put('open', Math.max(from, at), to)
    at = to
  }
  put('valid', at, border)
  put('rows', Math.max(at, border), span.to)
  return parts
}

function clamp(at: number, { from, to }: Span): number {
  return Math.min(to, Math.max(from, at))
}

function orElse(at: number, otherwise: number): number {
  return Number.isFinite(at) ? at : otherwise
}

/** When the rows begin that an aggregate stands on, through aggregates that stand on others; null: not known. */
export function firstRowsOf(
  name: string,
  aggregates: readonly Pick<AggregateHealth, 'name' | 'from'>[],
  datasets: readonly Pick<StoredDataset, 'name' | 'chunks'>[],
): number | null {
  let source: string | undefined = name
  // an aggregate never stands on itself; the bound is for what the two answers may not agree on
  for (let steps = 0; steps <= aggregates.length && source !== undefined; steps += 1) {
    const dataset = datasets.find((one) => one.name === source)
    if (dataset) return dataset.chunks[0] === undefined ? null : Date.parse(dataset.chunks[0].from)
    source = aggregates.find((one) => one.name === source)?.from
  }
  return null
}
