import { describe, expect, it } from 'vitest'
import {
  type AggregateFunction,
  type AggregateState,
  aggregates,
  type FinishedValue,
  type InputType,
  type StateSpec,
  states,
} from '../../src/aggregate/index.ts'
import { identifier, type Sql, sql } from '../../src/util/sql.ts'
import { buildState, bytesOf, type ValueText } from '../aggregate/harness.ts'

type StatesByCell = ReadonlyMap<unknown, AggregateState | null>

/** What an engine computes of a state. */
export interface AggregateEngine {
  /** Of values in the cells that are given for each, or, with null, of all of them under null. */
  statesOfValues(
    spec: StateSpec,
    values: readonly ValueText[],
    cells: readonly number[] | null,
  ): Promise<StatesByCell>
  /** Of rows with the columns value and time; `from` is SQL that every engine reads. */
  statesOfRows(spec: StateSpec, from: Sql, cell: Sql | null): Promise<StatesByCell>
}

/**
 * What every engine that computes states must do at the ends of the range of its types.
 *
 * @example
 * aggregateRules({ statesOfValues: …, statesOfRows: … }, { decimals: ['NaN'] })
 */
export function aggregateRules(
  engine: AggregateEngine,
  options: {
    /** That this engine has beside the ones of all. */
    readonly decimals?: readonly string[]
  } = {},
): void {
  async function ask(
    fn: AggregateFunction,
    input: InputType,
    values: readonly ValueText[],
    quantile: number | null = null,
  ): Promise<FinishedValue> {
    const spec = aggregates[fn].state(input, { borders: null })
    const found = await engine.statesOfValues(spec, values, null)
    return aggregates[fn].finish(found.get(null) ?? states[spec.kind].create(spec), spec, { quantile })
  }

  describe('overflow and special values', () => {
    const huge = Array.from({ length: 10 }, () => '1e308')

    it('a sum of doubles that overflows is Infinity, and its average is not', async () => {
      expect(await ask('sum', 'float8', huge)).toBe(Number.POSITIVE_INFINITY)
      expect(await ask('avg', 'float8', huge)).toBe(1e308)
      expect(await ask('sum', 'float8', [...huge.map((x) => `-${x}`), '1'])).toBe(Number.NEGATIVE_INFINITY)
    })

    it('huge values that cancel do not overflow, whatever their order', async () => {
      const cancelling = [...huge, ...huge.map((x) => `-${x}`), '5e307']
      expect(await ask('sum', 'float8', cancelling)).toBe(5e307)
      expect(await ask('sum', 'float8', [...cancelling].reverse())).toBe(5e307)
    })

    it('Infinity and -Infinity together sum to NaN, alone to themselves', async () => {
      expect(await ask('sum', 'float8', ['Infinity', '1', '-Infinity'])).toBeNaN()
      expect(await ask('sum', 'float8', ['Infinity', '1', ...huge])).toBe(Number.POSITIVE_INFINITY)
      expect(await ask('avg', 'float8', ['-Infinity', '1'])).toBe(Number.NEGATIVE_INFINITY)
      expect(await ask('sum', 'float8', ['NaN', 'Infinity'])).toBeNaN()
    })

    it('the deviation of huge values is finite where their variance is not', async () => {
      const values = ['1e200', '3e200', '5e200']
      expect(await ask('variance', 'float8', values)).toBe(Number.POSITIVE_INFINITY)
      expect((await ask('stddev', 'float8', values)) as number).toBeCloseTo(2e200, -186)
      expect(await ask('stddev', 'float8', ['1', 'Infinity'])).toBeNaN()
      expect(await ask('variance', 'float8', ['1', 'NaN', '2'])).toBeNaN()
      expect(await ask('variance', 'float8', ['1'])).toBeNull()
    })

    it('sums of integers pass the range of int8, those of decimals 28 digits', async () => {
      const most = '9223372036854775807'
      expect(await ask('sum', 'int8', [most, most, most])).toBe('27670116110564327421')
      expect(await ask('sum', 'int8', [`-${most}`, `-${most}`, '-2'])).toBe('-18446744073709551616')
      expect(await ask('sum', 'int4', ['2147483647', '2147483647'])).toBe(4294967294n)
      const decimal = `${'9'.repeat(22)}.999999`
      const eleven = Array.from({ length: 11 }, () => decimal)
      expect(await ask('sum', 'numeric', eleven)).toBe(`109${'9'.repeat(21)}.999989`)
    })

    it('nulls are left out, and no values give null', async () => {
      for (const fn of ['sum', 'avg', 'min', 'max', 'first', 'last', 'stddev', 'variance'] as const)
        expect(await ask(fn, 'float8', [null, null]), fn).toBeNull()
      expect(await ask('percentile', 'float8', [null], 0.5)).toBeNull()
      expect(await ask('count', 'float8', [null, '1'])).toBe(1)
      expect(await ask('uniques', 'text', [null, 'a'])).toBe(1)
      expect(await ask('countDistinct', 'text', [null])).toBe(0)
    })
  })

  describe('conversion to double', () => {
    const whole: string[] = []
    for (let power = 53; power < 63; power += 1)
      for (let step = -3; step <= 3; step += 1) {
        const gap = 2n ** BigInt(power - 53)
        whole.push(String(2n ** BigInt(power) + (BigInt(step) * gap) / 2n))
        whole.push(String(-(2n ** BigInt(power)) - BigInt(step) * gap))
      }
    const decimal = [
      ...whole.map((x) => `${x}.5`),
      ...['0.1', '-0.300', '1.005', '9007199254740993.499', ...(options.decimals ?? [])],
    ]

    it.each([
      ['int8', whole],
      ['numeric', decimal],
    ] as const)('%s rounds to the nearest double as in TypeScript', async (input, values) => {
      // equal extremes and equal buckets of each value alone: the doubles were the same
      await expectEachSame(engine, aggregates.percentile.state(input, { borders: null }), values)
    })
  })

  it('uniques of 512 values keep their hashes, of 513 registers, in one statement', async () => {
    const spec = aggregates.uniques.state('int4', { borders: null })
    const from = sql`(select (g > 512)::int4 as cell, (g * 3)::int4 as value, now() as time
      from generate_series(1, 1025) as t (g)) source`
    const found = await engine.statesOfRows(spec, from, identifier('cell'))
    const range = (low: number, high: number): string[] =>
      Array.from({ length: high - low + 1 }, (_, i) => String((low + i) * 3))
    expect(bytesOf(spec, found.get(0)!)).toBe(bytesOf(spec, buildState(spec, range(1, 512))))
    expect(bytesOf(spec, found.get(1)!)).toBe(bytesOf(spec, buildState(spec, range(513, 1025))))
  })

  it('countDistinct over its limit is an error that names uniques, and no list is built', async () => {
    const spec = aggregates.countDistinct.state('text', { borders: null })
    const from = sql`(select repeat('x', 1000) || g as value, now() as time
      from generate_series(1, 17000) as t (g)) source`
    await expect(engine.statesOfRows(spec, from, null)).rejects.toMatchObject({
      code: 'TM_LIMIT',
      message: expect.stringMatching(/16777216 bytes.*uniques/),
    })
  })
}

/** Each value alone in a cell has the state that TypeScript makes of it. */
export async function expectEachSame(
  engine: AggregateEngine,
  spec: StateSpec,
  values: readonly string[],
): Promise<void> {
  const found = await engine.statesOfValues(
    spec,
    values,
    values.map((_, i) => i),
  )
  values.forEach((value, i) => {
    expect(bytesOf(spec, found.get(i)!), value).toBe(bytesOf(spec, buildState(spec, [value])))
  })
}
