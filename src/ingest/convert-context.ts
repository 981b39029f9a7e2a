import type { CanonicalValue } from '../schema/index.ts'
import type { DeadReason } from './reasons.ts'

/** What a converter returns for a value that does not fit; `reason` and `message` of its context say why. */
export const refused: unique symbol = Symbol('refused')

/** What was done to a column's values on the way in: said in the report, so that nothing is changed silently. */
export interface ColumnNotes {
  /** Words that were read as null, with how often. */
  nullWords: Record<string, number>
  /** Whole numbers that were written with a fraction of zeros or an exponent: `13085.0`, `1e3`. */
  wholeFractions: number
  /** Numbers in scientific notation that were written out: `6.8e-7`. */
  scientific: number
  /** Times with more than six digits of a second's fraction, and those of them that lost digits other than zero. */
  longFractions: number
  truncated: number
}

export interface ConvertContext {
  /** Why the last value was refused. */
  reason: DeadReason
  message: string
  notes: ColumnNotes
}

/** From what a reader gives to the canonical form of the column's type, or `refused`. */
export type Convert = (value: unknown) => CanonicalValue | typeof refused

export function refuse(context: ConvertContext, reason: DeadReason, message: string): typeof refused {
  context.reason = reason
  context.message = message
  return refused
}

export function refuseNul(context: ConvertContext): typeof refused {
  return refuse(context, 'nul', 'it holds the character NUL, which PostgreSQL cannot store')
}
