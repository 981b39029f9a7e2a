import { compareText, type ResultType } from '../aggregate/index.ts'
import type { FilterNode } from './nodes.ts'
import { compareValues } from './values.ts'

/** SQL's third truth value is null. */
export type Truth = boolean | null

/** A JSON number that no double is: it compares with all of its digits. */
export class ExactNumber {
  readonly decimal: string
  constructor(decimal: string) {
    this.decimal = decimal
  }
}

export interface Operand {
  readonly type: ResultType
  /** null: SQL NULL. */
  readonly value: unknown
}

/**
 * Whether a filter is true, false or unknown for one row, by SQL's three-valued logic. `operandOf` says what a
 * reference stands for; `jsonb` operands are parsed JSON (or an `ExactNumber`) and follow the rules of nodes.ts.
 */
export function evaluateFilter(
  filter: FilterNode,
  operandOf: (ref: { readonly column: string; readonly path: readonly string[] }) => Operand,
): Truth {
  switch (filter.kind) {
    case 'and': {
      let truth: Truth = true
      for (const part of filter.filters) {
        const result = evaluateFilter(part, operandOf)
        if (result === false) return false
        if (result === null) truth = null
      }
      return truth
    }
    case 'or': {
      let truth: Truth = false
      for (const part of filter.filters) {
        const result = evaluateFilter(part, operandOf)
        if (result === true) return true
        if (result === null) truth = null
      }
      return truth
    }
    case 'not': {
      const result = evaluateFilter(filter.filter, operandOf)
      return result === null ? null : !result
    }
    case 'isNull':
      return operandOf(filter.ref).value === null
    case 'contains': {
      const { value } = operandOf(filter.ref)
      return value === null ? null : (value as readonly (string | null)[]).includes(filter.value)
    }
    case 'like': {
      const { value } = operandOf(filter.ref)
      return typeof value === 'string' ? likeMatcher(filter)(value) : null
    }
    case 'in': {
      if (filter.values.length === 0) return false
      const operand = operandOf(filter.ref)
      if (operand.value === null) return null
      return filter.values.some((value) => compareOne(operand, 'eq', value) === true)
    }
    case 'compare':
      return compareOne(operandOf(filter.ref), filter.operator, filter.value)
  }
}

function compareOne(operand: Operand, operator: string, value: string | number | bigint | boolean): Truth {
  if (operand.value === null) return null
  let order: number
  if (operand.type === 'jsonb') {
    const held = operand.value
    if (held instanceof ExactNumber && typeof value === 'number')
      order = compareValues('numeric', held.decimal, String(value))
    else if (typeof held !== typeof value) return operator === 'eq' ? false : operator === 'ne' ? true : null
    else
      order =
        typeof held === 'string'
          ? compareText(held, value as string)
          : (held as number) < (value as number)
            ? -1
            : (held as number) > (value as number)
              ? 1
              : 0
  } else order = compareValues(operand.type, operand.value, value)
  switch (operator) {
    case 'eq':
      return order === 0
    case 'ne':
      return order !== 0
    case 'lt':
      return order < 0
    case 'lte':
      return order <= 0
    case 'gt':
      return order > 0
    default:
      return order >= 0
  }
}

type LikeNode = Extract<FilterNode, { kind: 'like' }>

const matchers = new WeakMap<LikeNode, (text: string) => boolean>()

/** LIKE as PostgreSQL has it: `%` any text, `_` one character, a backslash takes the next character as it is. */
function likeMatcher(node: LikeNode): (text: string) => boolean {
  let matcher = matchers.get(node)
  if (!matcher) {
    const exact = createLikeMatcher(node.caseInsensitive ? lowered(node.pattern) : node.pattern)
    matcher = node.caseInsensitive ? (text) => exact(lowered(text)) : exact
    matchers.set(node, matcher)
  }
  return matcher
}

/** Each character by itself, as PostgreSQL does: no sigma knows that it is the last one, and İ is one letter. */
function lowered(text: string): string {
  let result = ''
  for (const char of text) result += char === '\u0130' ? 'i' : char.toLowerCase()
  return result
}

/** Greedy matching with one point to go back to: linear in text x pattern, where a regular expression can explode. */
function createLikeMatcher(pattern: string): (text: string) => boolean {
  const tokens: { readonly kind: 'any' | 'one' | 'char'; readonly char: string }[] = []
  const characters = [...pattern]
  for (let i = 0; i < characters.length; i++) {
    const char = characters[i] as string
    if (char === '%') tokens.push({ kind: 'any', char })
    else if (char === '_') tokens.push({ kind: 'one', char })
    else if (char === '\\') tokens.push({ kind: 'char', char: characters[++i] ?? '' })
    else tokens.push({ kind: 'char', char })
  }
  return (text) => {
    const input = [...text]
    let at = 0
    let token = 0
    let backToken = -1
    let backAt = 0
    while (at < input.length) {
      const now = tokens[token]
      if (now?.kind === 'any') {
        backToken = token++
        backAt = at
      } else if (now && (now.kind === 'one' || now.char === input[at])) {
        at++
        token++
      } else if (backToken >= 0) {
        token = backToken + 1
        at = ++backAt
      } else return false
    }
    while (tokens[token]?.kind === 'any') token++
    return token === tokens.length
  }
}
