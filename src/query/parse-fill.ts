import type { ResultType } from '../aggregate/index.ts'
import { coerceFloat, coerceNumeric, coerceText } from './coerce.ts'
import type { QueryLimits } from './limits.ts'
import type { AggregateQueryNode, FillNode } from './nodes.ts'
import { assertKeys } from './parse-context.ts'
import { fail, isPlainObject, show } from './problem.ts'
import { typeOfAggregate } from './references.ts'

const fillWords = ['none', 'null', 'previous', 'linear'] as const

/** Types that `linear` can draw a line through, and that a constant number fits. */
const arithmeticTypes: ReadonlySet<ResultType> = new Set([
  'int2',
  'int4',
  'int8',
  'float4',
  'float8',
  'numeric',
  'count',
] as const)

export function parseFill(
  input: unknown,
  query: Pick<AggregateQueryNode, 'dataset' | 'bucket' | 'select'>,
  limits: QueryLimits,
): FillNode {
  if (input == null || input === 'none') return { kind: 'none' }
  if (!query.bucket) fail('fill', 'there are gaps to fill only between buckets; give a bucket')
  if (isPlainObject(input)) {
    assertKeys(input, ['constant'], 'fill')
    return parseConstant(input['constant'], query, limits)
  }
  const kind = fillWords.find((word) => word === input)
  if (!kind) return fail('fill', `${show(input)} is not ${fillWords.join(', ')} or { constant: 0 }`)
  if (kind === 'linear')
    for (const { name, aggregate } of query.select) {
      const type = typeOfAggregate(query.dataset, aggregate)
      if (!arithmeticTypes.has(type))
        fail('fill', `no line can be drawn through "${name}" (${type}); use "previous" or "null"`)
    }
  return { kind }
}

function parseConstant(
  value: unknown,
  query: Pick<AggregateQueryNode, 'dataset' | 'select'>,
  limits: QueryLimits,
): FillNode {
  const path = 'fill.constant'
  if (typeof value === 'string') coerceText(value, path, { limits })
  else if (typeof value !== 'number') return fail(path, `${show(value)} is not a number or text`)
  for (const { name, aggregate } of query.select) {
    const type = typeOfAggregate(query.dataset, aggregate)
    const misfit = (): never => fail(path, `${show(value)} does not fit "${name}", which is ${type}`)
    if (type === 'text') {
      if (typeof value !== 'string') misfit()
    } else if (!arithmeticTypes.has(type)) misfit()
    else if (type === 'numeric') coerceNumeric(value, path)
    else if (!Number.isInteger(coerceFloat(value, path)) && type !== 'float4' && type !== 'float8') misfit()
  }
  return { kind: 'constant', value: value as string | number }
}
