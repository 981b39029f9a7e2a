import type { Static, TSchema } from 'typebox'
import { describe, expectTypeOf, it } from 'vitest'
import type {
  AggregateList,
  DeadLetterPage,
  ExplainedLetter,
  GrowthAnswer,
  JobList,
  LetterReplayAnswer,
  OperationAnswer,
  OperationBody,
  OverviewAnswer,
  StorageAnswer,
} from '../../src/api/contract/index.ts'
import type * as client from '../../src/client/index.ts'

type Frozen<T> = T extends readonly (infer E)[]
  ? readonly Frozen<E>[]
  : T extends object
    ? { readonly [K in keyof T]: Frozen<T[K]> }
    : T
/** What an answer is by its schema. */
type Says<S extends TSchema> = Frozen<Static<S>>

/** Each is one of the other. */
type Same<A, B> = [A] extends [B] ? ([B] extends [A] ? 'same' : 'the first says less') : 'the first says more'

describe('what the client says of an answer', () => {
  it('is what the schema of its route says', () => {
    expectTypeOf<Same<Says<typeof StorageAnswer>, client.Storage>>().toEqualTypeOf<'same'>()
    expectTypeOf<Same<Says<typeof GrowthAnswer>, client.StorageGrowth>>().toEqualTypeOf<'same'>()
    expectTypeOf<Same<Says<typeof OperationBody>, client.OperationRequest>>().toEqualTypeOf<'same'>()
    expectTypeOf<Same<Says<typeof OperationAnswer>, client.Operation>>().toEqualTypeOf<'same'>()
    expectTypeOf<
      Same<Says<typeof AggregateList>, { readonly aggregates: readonly client.AggregateHealth[] }>
    >().toEqualTypeOf<'same'>()
    expectTypeOf<Same<Says<typeof JobList>, client.JobsHealth>>().toEqualTypeOf<'same'>()
    expectTypeOf<Same<Says<typeof DeadLetterPage>, client.DeadLetterPage>>().toEqualTypeOf<'same'>()
    expectTypeOf<Same<Says<typeof ExplainedLetter>, client.ExplainedDeadLetter>>().toEqualTypeOf<'same'>()
    expectTypeOf<Same<Says<typeof LetterReplayAnswer>, client.DeadLetterReplay>>().toEqualTypeOf<'same'>()
    expectTypeOf<Same<Says<typeof OverviewAnswer>, client.Overview>>().toEqualTypeOf<'same'>()
  })
})
